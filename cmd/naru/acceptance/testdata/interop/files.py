"""Prints the SHA-256 of what an archive on stdin says of /t and /naru-hello: names, types, modes, owners, times, links, contents and
capabilities, in an order of its own and whichever of several hard links comes first. With an argument it prints the text."""
import hashlib, sys, tarfile

seen, first, links = {}, {}, {}
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    for m in archive:
        name = m.name.lstrip("./").rstrip("/")
        if name.split("/")[0] not in ("t", "naru-hello"):
            continue
        if m.islnk():
            first[name] = m.linkname.lstrip("./")
            continue
        body = hashlib.sha256(archive.extractfile(m).read()).hexdigest() if m.isreg() else m.linkname
        caps = m.pax_headers.get("SCHILY.xattr.security.capability", "")
        seen[name] = f"{m.type} {m.mode & 0o7777:o} {m.uid}:{m.gid} {int(m.mtime)} {m.devmajor}:{m.devminor} {body} {caps!r}"
for name, other in first.items():
    seen[name] = seen[other]
    links.setdefault(other, [other]).append(name)
text = "".join(f"{n} {seen[n]}\n" for n in sorted(seen)) + "".join(" = ".join(sorted(l)) + "\n" for l in sorted(links.values(), key=sorted))
print(text if len(sys.argv) > 1 else hashlib.sha256(text.encode()).hexdigest())
