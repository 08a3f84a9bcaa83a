# SPDX-License-Identifier: Apache-2.0
"""Looks at a desktop program through its accessibility tree: `look.py SHOT TEXT...` returns once all the
texts are in what it shows (each in one element), and leaves a picture of the screen in the file SHOT."""
import sys

import gi

gi.require_version("Atspi", "2.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Atspi, Gdk, GLib  # noqa: E402

shot, texts = sys.argv[1], sys.argv[2:]
PATIENCE = 30  # seconds; a guard against hangs


def shown(element):
    """The words of all that is on the screen, from this element down. It changes while we look."""
    try:
        if element.get_role() != Atspi.Role.APPLICATION and \
                not element.get_state_set().contains(Atspi.StateType.SHOWING):
            return
        yield element.get_name() or ""
        if "Text" in element.get_interfaces():
            yield Atspi.Text.get_text(element, 0, -1)
        for i in range(element.get_child_count()):
            child = element.get_child_at_index(i)
            if child:
                yield from shown(child)
    except GLib.Error:
        return


def words():
    desktop = Atspi.get_desktop(0)
    for i in range(desktop.get_child_count()):
        program = desktop.get_child_at_index(i)
        if program and "virt-manager" in (program.get_name() or ""):
            yield from shown(program)


def missing():
    said = list(words())
    return [text for text in texts if not any(text in word for word in said)], said


def look(loop):
    keep_on = False
    try:
        keep_on = bool(missing()[0])
    finally:
        if not keep_on:
            loop.quit()
    return keep_on


main = GLib.MainLoop()
GLib.timeout_add(200, look, main)
GLib.timeout_add_seconds(PATIENCE, main.quit)
main.run()
root = Gdk.get_default_root_window()
Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height()).savev(shot, "png", [], [])
lost, said = missing()
if lost:
    print("# not shown:", lost, "but:", [word for word in said if word][:60])
sys.exit(bool(lost))
