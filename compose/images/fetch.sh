#!/bin/sh
# fetch COMMAND…: whatever brings packages into an image. If it fails because nobody here knows who has signed the
# certificate of its peer, which is no more than a warning among others, say what to do.
said=$(mktemp)
"$@" 2>"$said"
code=$?
cat "$said" >&2
if [ "$code" -ne 0 ] && grep -Eqi 'certificate.?verif|certificate is not trusted|server certificate not trusted' "$said"; then
    cat >&2 <<'WORDS'

The certificate of a package server is signed by somebody whom this image does not know. Is there a proxy that inspects TLS?
Put the certificate of its authority (PEM) into compose/certificates/NAME.crt, and build again; see compose/README.md.
WORDS
fi
rm -f "$said"
exit "$code"
