#!/bin/sh
set -e
printf '#!/bin/sh\necho "%s, $(id -un) of %s"\n' "$GREETING" "$_REMOTE_USER" > /usr/local/bin/hello
chmod 755 /usr/local/bin/hello
