#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make install` puts down of libioasid is enough for another program: it compiles against the
# installed headers alone, links the installed archive, and runs; every function has a manual page.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

case $(basename "$build") in
*address* | *thread*)
	skip "everything here" "a sanitizer build is not installed"
	done_testing
	;;
esac
prefix=$work/usr
make -s --no-print-directory O="$build" install PREFIX="$prefix" >"$work/out" 2>&1
ok "make install PREFIX= succeeds" is $? 0

cat >"$work/user.c" <<'EOF'
#include <ioasid-client/ioasid.h>
#include <ioasid-client/pasid-table.h>
#include <stdio.h>

static char page[IOASID_PAGE_SIZE] __attribute__((aligned(IOASID_PAGE_SIZE)));

int main(void)
{
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT,
					      .soft = { .pasid_width = 20 } };
	const struct ioasid_space_options options = { .name = "mine", .pasid_capable = true };
	struct err err = { 0 };
	struct ioasid_device *device;
	struct ioasid_space *space;
	struct ioasid_pasid *pasid;
	struct ioasid_ctx *ctx;
	struct ioasid_dma *dma;
	uint64_t len = 1;
	int bad;

	if (ioasid_ctx_open(&ctx, IOASID_PROVIDER_SOFT, NULL, &err) ||
	    ioasid_bind(ctx, &source, "device", &device, &err) ||
	    ioasid_alloc(ctx, &options, &space, &err) ||
	    ioasid_map_hva(space, 0, sizeof(page), page, IOASID_READ, &err) ||
	    ioasid_pasid_attach(device, space, 5, &pasid, &err) || ioasid_dma_open(ctx, &dma, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	ioasid_dma_begin(dma);
	bad = ioasid_translate(dma, device, 5, 0, &len, IOASID_READ) != page;
	ioasid_dma_end(dma);
	ioasid_dma_close(dma);
	ioasid_ctx_close(ctx);
	return bad;
}
EOF
flags=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs libioasid)
ok "pkg-config knows the library" [ -n "$flags" ]
# shellcheck disable=SC2086 # words
ok "a program compiles and links" "${CC:-gcc}" -std=gnu17 -Wall -Wextra -Werror \
	-o "$work/user" "$work/user.c" $flags
ok "the program runs" "$work/user"

nm -g --defined-only "$prefix/lib/libioasid.a" | awk 'NF == 3 { print $3 }' |
	grep -vE '^(ioasid|pasid_table|err|epoch)_' >"$work/names"
ok "the archive has no names but its own" [ ! -s "$work/names" ]

# Declarations begin in the first column, and none is a macro or a type.
sed -n 's/^[a-z][a-z0-9_ ]*[ *]\(\(ioasid\|pasid_table\)_[a-z0-9_]*\)(.*/\1/p' \
	"$prefix"/include/ioasid/ioasid-client/*.h | sort -u >"$work/functions"
ok "the headers declare functions" [ "$(wc -l <"$work/functions")" -gt 40 ]
while read -r f; do
	grep -qE "^\.F[no] \"?$f( |\$)" "$prefix"/share/man/man3/*.3 || echo "$f"
done <"$work/functions" >"$work/undocumented"
[ ! -s "$work/undocumented" ] || sed 's/^/# no page: /' "$work/undocumented"
ok "every function has a page" [ ! -s "$work/undocumented" ]
done_testing
