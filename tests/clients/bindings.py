# SPDX-License-Identifier: Apache-2.0
"""virtaditd as python3-libvirt meets it: errors by their numbers, events in their order, a console
as a stream, descriptors that a client opens. Arguments: its socket, the read-only one, a folder of payloads,
the file where adit notes what it was given; TAP on standard output."""
import os
import sys
import threading

import libvirt

socket, socket_ro, payloads, given = sys.argv[1:5]
number = failures = 0


def ok(what, passed, got=""):
    global number, failures
    number += 1
    failures += not passed
    print("ok" if passed else "not ok", number, "-", what, flush=True)
    if not passed:
        print("# got", got, flush=True)


def error_of(what, *args):
    try:
        what(*args)
    except libvirt.libvirtError as error:
        return error.get_error_code()
    return None


def domain_xml(name, payload, devices=""):
    return f"""<domain type='kvm'><name>{name}</name><memory unit='MiB'>64</memory>
<os><type>hvm</type></os><devices>{devices}</devices>
<adit:machine xmlns:adit='urn:adit:domain:1'><adit:flat path='{payloads}/{payload}.bin'/></adit:machine>
</domain>"""


libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
stopping = False


def run_loop():
    while not stopping:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=run_loop, daemon=True).start()
conn = libvirt.open(f"adit:///system?socket={socket}")
ok("it is alive, local and not encrypted", conn.isAlive() == 1)
ok("its type", conn.getType() == "ADIT" or conn.getType() == "adit", conn.getType())
ok("capabilities", "<os_type>hvm" in conn.getCapabilities())
ok("no domain of that name is VIR_ERR_NO_DOMAIN",
   error_of(conn.lookupByName, "nobody") == libvirt.VIR_ERR_NO_DOMAIN)
ok("what is no XML is VIR_ERR_XML_ERROR", error_of(conn.defineXML, "<domain") == libvirt.VIR_ERR_XML_ERROR)
ok("what adit cannot do is VIR_ERR_CONFIG_UNSUPPORTED",
   error_of(conn.defineXML, domain_xml("bad", "spin", "<video/>")) == libvirt.VIR_ERR_CONFIG_UNSUPPORTED)
ok("what is not served is VIR_ERR_NO_SUPPORT",
   error_of(conn.numOfStoragePools) == libvirt.VIR_ERR_NO_SUPPORT)

# --- events
events = []
heard = threading.Condition()


def note(*event):
    with heard:
        events.append(event)
        heard.notify_all()


def wait_for(*event):
    with heard:
        return heard.wait_for(lambda: event in events, 30)


conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                            lambda _, dom, event, detail, __: note(dom.name(), event, detail), None)
conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
                            lambda _, dom, __: note(dom.name(), "reboot"), None)
domain = conn.defineXML(domain_xml("talker", "echo", "<serial type='pty'/>"))
ok("defined is an event", wait_for("talker", libvirt.VIR_DOMAIN_EVENT_DEFINED,
                                   libvirt.VIR_DOMAIN_EVENT_DEFINED_ADDED), events)
other = []
conn.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                            lambda _, dom, event, detail, __: other.append(dom.name()), None)
gone = conn.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
                                   lambda *_: note("a callback that was taken back"), None)
conn.domainEventDeregisterAny(gone)

# --- a life
domain.create()
ok("it is active, and persistent", domain.isActive() == 1 and domain.isPersistent() == 1)
ok("its state", domain.state() == [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED], domain.state())
ok("it is found by its id", conn.lookupByID(domain.ID()).name() == "talker")
ok("and by its UUID", conn.lookupByUUIDString(domain.UUIDString()).name() == "talker")
ok("it is listed as active", [d.name() for d in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)] == ["talker"])
ok("and not as inactive", conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE) == [])
ok("starting it twice is VIR_ERR_OPERATION_INVALID", error_of(domain.create) == libvirt.VIR_ERR_OPERATION_INVALID)
stats = conn.getAllDomainStats()[0][1]
ok("statistics have types", stats["state.state"] == 1 and stats["vcpu.current"] == 1 and
   stats["balloon.maximum"] == 65536 and stats["adit.vcpus.exits_pio"] >= 0, stats)
domain.suspend()
domain.resume()

# --- its console
stream = conn.newStream()
domain.openConsole(None, stream)
stream.send(b"hello")
said = b""
while b"hello" not in said:
    said += stream.recv(16)
ok("a stream brings back what is sent", True)
big = bytes(ord("a") + i % 26 for i in range(4000))
said = b""
for at in range(0, len(big), 500):
    stream.send(big[at:at + 500])
    while len(said) < at + 500:
        said += stream.recv(4096)
ok("4000 bytes both ways, each in its place", said == big, said[:80])
stream.finish()
stream = conn.newStream()
domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_SAFE)
stream.send(b"+")
ok("the guest's reset is an event", wait_for("talker", "reboot"), events)
stream.abort()
domain.destroy()
ok("its end is an event", wait_for("talker", libvirt.VIR_DOMAIN_EVENT_STOPPED,
                                   libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED), events)
domain.undefine()
ok("undefined is an event", wait_for("talker", libvirt.VIR_DOMAIN_EVENT_UNDEFINED, 0), events)
life = [event[1] for event in events if event[0] == "talker" and event[1] != "reboot"]
ok("they came in their order", life == [
    libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED], life)
ok("a callback that was taken back hears nothing", not [e for e in events if len(e) == 1])
ok("one for a domain hears of it", set(other) == {"talker"}, other)
ok("a domain that is gone is VIR_ERR_NO_DOMAIN", error_of(domain.info) == libvirt.VIR_ERR_NO_DOMAIN)

# --- an iommufd that the client has opened
node = "/dev/iommu" if os.path.exists("/dev/iommu") else "/dev/zero"
lender = libvirt.open(f"adit:///system?socket={socket}")
domain = lender.defineXML(domain_xml("given", "powerbutton").replace(
    "<devices>", "<iommufd enabled='yes' fdgroup='mine'/><devices>"))
ok("what is not said of the machine is filled in", '<type arch="x86_64" machine="adit">' in domain.XMLDesc())
ok("the group is kept", 'fdgroup="mine"' in domain.XMLDesc())
ok("without its descriptor it does not start", error_of(domain.create) == libvirt.VIR_ERR_OPERATION_INVALID)
opened = os.open(node, os.O_RDWR)
other = os.open("/dev/null", os.O_RDWR)
domain.FDAssociate("mine", [opened, other])
ok("two are not an iommufd", error_of(domain.create) == libvirt.VIR_ERR_OPERATION_INVALID)
domain.FDAssociate("mine", [opened], libvirt.VIR_DOMAIN_FD_ASSOCIATE_SECLABEL_RESTORE)
domain.FDAssociate("another", [other] * 16)
os.close(opened)
conn.lookupByName("given").create()
ok("adit is given it", open(given).read().strip() == node)
domain.destroy()
ok("no descriptors are refused", error_of(domain.FDAssociate, "mine", []) is not None)
ok("and more than a message may have", error_of(domain.FDAssociate, "mine", [other] * 33) is not None)
ok("which harms nobody", lender.isAlive() == 1 and domain.info()[0] == libvirt.VIR_DOMAIN_SHUTOFF)
lender.close()
domain = conn.lookupByName("given")
until_gone = error_of(domain.create)
ok("it goes with the connection that lent it", until_gone == libvirt.VIR_ERR_OPERATION_INVALID, until_gone)
domain.undefine()

# --- with the connection that started it
owner = libvirt.open(f"adit:///system?socket={socket}")
kept = owner.defineXML(domain_xml("kept", "spin"))
kept.createWithFlags(libvirt.VIR_DOMAIN_START_AUTODESTROY)
owner.createXML(domain_xml("passing", "spin"), libvirt.VIR_DOMAIN_START_AUTODESTROY)
other_owner = conn.createXML(domain_xml("staying", "spin"))
ok("domains run while their connection lasts",
   sorted(d.name() for d in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)) == ["kept", "passing", "staying"])
del kept
owner.close()
ok("and are destroyed with it", wait_for("kept", libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED) and
   wait_for("passing", libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED), events)
ok("others are not", [d.name() for d in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)] == ["staying"])
other_owner.destroy()
ok("one that is defined stays so", [d.name() for d in conn.listAllDomains()] == ["kept"])
conn.lookupByName("kept").undefine()

# --- how much memory it has
domain = conn.createXML(domain_xml("sized", "hotdma", "<memballoon model='virtio'><stats period='1'/></memballoon>").replace(
    "<os>", "<os><cmdline>balloon</cmdline>"))
conn.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
                            lambda _, dom, actual, __: note(dom.name(), "balloon", actual), None)
domain.setMemory(65472)
ok("an event tells that the guest has given memory back", wait_for("sized", "balloon", 65472), events)
domain.setMemory(65536)
ok("and that it has taken it", wait_for("sized", "balloon", 65536), events)
domain.destroy()

# --- saved, and going on
saved = os.path.join(os.path.dirname(given), "bindings.save")
domain = conn.createXML(domain_xml("saver", "spin", "<serial type='null'/>"))
xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
domain.save(saved)
ok("a saved domain that is not defined is gone", error_of(domain.info) == libvirt.VIR_ERR_NO_DOMAIN)
ok("its end is an event of its own", wait_for("saver", libvirt.VIR_DOMAIN_EVENT_STOPPED,
                                              libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED), events)
ok("the file has its XML", conn.saveImageGetXMLDesc(saved) == xml)
conn.restore(saved)
domain = conn.lookupByName("saver")
ok("so is its start", wait_for("saver", libvirt.VIR_DOMAIN_EVENT_STARTED,
                               libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED), events)
ok("its state says so", domain.state() == [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_RESTORED],
   domain.state())
ok("what runs is not restored: VIR_ERR_OPERATION_INVALID",
   error_of(conn.restore, saved) == libvirt.VIR_ERR_OPERATION_INVALID)
ok("a domain that is not kept is not saved by the daemon: VIR_ERR_OPERATION_INVALID",
   error_of(domain.managedSave) == libvirt.VIR_ERR_OPERATION_INVALID)
ok("running and paused is VIR_ERR_INVALID_ARG, by the client or the daemon",
   error_of(domain.saveFlags, saved, None, libvirt.VIR_DOMAIN_SAVE_RUNNING | libvirt.VIR_DOMAIN_SAVE_PAUSED) ==
   libvirt.VIR_ERR_INVALID_ARG)
domain.saveFlags(saved, None, libvirt.VIR_DOMAIN_SAVE_PAUSED)
huge = xml.replace("<os>", "<memoryBacking><hugepages/></memoryBacking><os>")
ok("what no file carries is VIR_ERR_CONFIG_UNSUPPORTED",
   error_of(conn.restoreFlags, saved, huge, 0) == libvirt.VIR_ERR_CONFIG_UNSUPPORTED)
conn.restoreFlags(saved, None, 0)
domain = conn.lookupByName("saver")
ok("it waits, as it was saved", domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED, domain.state())
if hasattr(domain, "saveParams"):
    domain.saveParams({libvirt.VIR_DOMAIN_SAVE_PARAM_FILE: saved}, 0)
    ok("a parameter that is not known is VIR_ERR_OPERATION_UNSUPPORTED",
       error_of(conn.restoreParams, {libvirt.VIR_DOMAIN_SAVE_PARAM_FILE: saved,
                                     "image_format": "zstd"}, 0) == libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
    conn.restoreParams({libvirt.VIR_DOMAIN_SAVE_PARAM_FILE: saved}, libvirt.VIR_DOMAIN_SAVE_RUNNING)
    domain = conn.lookupByName("saver")
    ok("with parameters it goes on as well", domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, domain.state())
else:
    print("# no saveParams: these bindings are older than it (8.4)", flush=True)
domain.destroy()

looking = libvirt.openReadOnly(f"adit:///system?socket={socket_ro}")
ok("a read-only connection may not define",
   error_of(looking.defineXML, domain_xml("no", "spin")) == libvirt.VIR_ERR_OPERATION_DENIED)
looking.close()
stopping = True
conn.close()
print(f"1..{number}")
sys.exit(failures > 0)
