package acceptance

// copyFiles are a context with a bit of everything.
var copyFiles = map[string]string{
	"f": "text", "g 0600": "more", "run 0755": "#!/bin/sh\n", "suid 4755": "s", "a b": "space", "arr[0].txt": "brackets", ".dot": "dot",
	"d/x": "x", "d/y.txt": "y", "d/sub/z.txt": "z", "d/link": "-> x", "d/out": "-> ../f", "d/none": "-> nowhere", "empty/": "", "sticky/ 1777": "",
	"tolink": "-> f", "todir": "-> d",
}

// dockerfilesCopy are about COPY.
var dockerfilesCopy = []dockerfile{
	{name: "copy: names", text: "FROM scratch\nCOPY f /\nCOPY f /g\nCOPY f /new/\nCOPY f /deep/er/g\nCOPY /f ./rooted\n", files: copyFiles, machine: true},
	{name: "copy: several", text: "FROM scratch\nCOPY f g run /d/\n", files: copyFiles},
	{name: "copy: several to a file", text: "FROM scratch\nCOPY f g /d\n", files: copyFiles},
	{name: "copy: a folder's content", text: "FROM scratch\nCOPY d /to\n", files: copyFiles, machine: true},
	{name: "copy: several folders", text: "FROM scratch\nCOPY d empty /to/\n", files: copyFiles},
	{name: "copy: all", text: "FROM scratch\nCOPY . /\n", files: copyFiles, machine: true},
	{name: "copy: wildcards", text: "FROM scratch\nCOPY d/* /a/\nCOPY *.txt ? /b/\nCOPY d/[xy]* /c/\nCOPY arr[[]0].txt /d/\n", files: copyFiles},
	{name: "copy: two stars", text: "FROM scratch\nCOPY **/*.txt /a/\n", files: copyFiles},
	{name: "copy: a wildcard without a match", text: "FROM scratch\nCOPY *.nosuch /a/\n", files: copyFiles},
	{name: "copy: a wildcard without a match beside one with", text: "FROM scratch\nCOPY f *.nosuch /a/\n", files: copyFiles},
	{name: "copy: not there", text: "FROM scratch\nCOPY nosuch /\n", files: copyFiles, machine: true},
	{name: "copy: outside of the context", text: "FROM scratch\nCOPY ../f /\nCOPY ../../d/x /\n", files: copyFiles},
	{name: "copy: JSON and spaces", text: "FROM scratch\nCOPY [\"a b\", \"/c d/\"]\nCOPY \"a b\" /q\n", files: copyFiles},
	{name: "copy: relative to WORKDIR", text: "FROM scratch\nWORKDIR /w\nCOPY f .\nCOPY f g/\nCOPY f ../up\nCOPY d e\n", files: copyFiles},
	{name: "copy: variables", text: "FROM scratch\nENV A=f\nARG B=to\nCOPY $A /$B/\n", files: copyFiles},
	{name: "copy: modes and kinds", text: "FROM scratch\nCOPY run suid g /\nCOPY sticky /sticky\nCOPY empty /empty\n", files: copyFiles},
	{name: "copy: extended attributes", text: "FROM scratch\nCOPY f /\n", files: map[string]string{"f": "@xattr"}},
	{name: "copy: links", text: "FROM scratch\nCOPY tolink /\nCOPY tolink /named\nCOPY todir /todir\nCOPY d /d\n", files: copyFiles},
	{name: "copy: a link that leads nowhere", text: "FROM scratch\nCOPY d/none /\n", files: copyFiles},
	{name: "copy: a link out of the context", text: "FROM scratch\nCOPY l /\n", files: map[string]string{"l": "-> /etc/passwd"}},
	{name: "copy: a folder by a link out of the context", text: "FROM scratch\nCOPY l/passwd /\n", files: map[string]string{"l": "-> /etc"}},
	{name: "copy: through a link in the image", text: "FROM {BASE}\nRUN mkdir /real && ln -s real /link && ln -s /etc/x /file\nCOPY f /link/\nCOPY f /file\n", files: copyFiles},
	{name: "copy: over what is there", text: "FROM {BASE}\nRUN mkdir /d && echo old >/d/f && chmod 700 /d && chown 7:8 /d /d/f\nCOPY f /d/f\nCOPY d /d\n", files: copyFiles},
	{name: "copy: a file over a folder", text: "FROM scratch\nCOPY d /x\nCOPY f /x\n", files: copyFiles},
	{name: "copy: a folder over a file", text: "FROM scratch\nCOPY f /x\nCOPY d /x\n", files: copyFiles},
	{name: "copy: a folder over a link", text: "FROM {BASE}\nRUN mkdir /real && ln -s real /x\nCOPY d /x\n", files: copyFiles},
	{name: "copy: owners by number", text: "FROM scratch\nCOPY --chown=7 f /a\nCOPY --chown=7:8 d /b\nCOPY --chown=:8 f /new/c\n", files: copyFiles, machine: true},
	{name: "copy: owners by name", text: "FROM {BASE}\nCOPY --chown=daemon f /a\nCOPY --chown=daemon:mail f /b\nARG U=daemon\nCOPY --chown=$U:0 f /new/c\n", files: copyFiles},
	{name: "copy: an owner that is not there", text: "FROM {BASE}\nCOPY --chown=nosuch f /a\n", files: copyFiles},
	{name: "copy: a name in scratch", text: "FROM scratch\nCOPY --chown=root f /a\n", files: copyFiles},
	{name: "copy: USER does not own", text: "FROM {BASE}\nUSER 7\nCOPY f /a/\n", files: copyFiles},
	{name: "copy: modes that are given", text: "FROM scratch\nARG M=640\nCOPY --chmod=0700 f /a\nCOPY --chmod=755 d /b\nCOPY --chmod=$M f /new/c\nCOPY --chmod=4755 f /s\n", files: copyFiles},
	{name: "copy: symbolic modes", text: "FROM scratch\nCOPY --chmod=u=rwX,go=rX d /b\nCOPY --chmod=a+x f /c\n", files: copyFiles},
	{name: "copy: a bad mode", text: "FROM scratch\nCOPY --chmod=nosuch f /a\n", files: copyFiles},
	{name: "copy: link", text: "FROM {BASE}\nCOPY --link f /new/deep/\nCOPY --link --chown=7:8 --chmod=600 d /etc/d\n", files: copyFiles, machine: true},
	{name: "copy: link, by number of a user and of a name", text: "FROM {BASE}\nCOPY --link --chown=daemon f /a\n", files: copyFiles},
	{name: "copy: link, from a stage, upon scratch", text: "FROM scratch AS s\nCOPY f /\nFROM scratch\nCOPY --link --from=s / /\nCOPY --link g /\n", files: copyFiles},
	{name: "copy: link, where a link is", text: "FROM {BASE}\nRUN mkdir /real && ln -s real /link\nCOPY --link f /link/\n", files: copyFiles},
	{name: "copy: from an image", text: "FROM scratch\nCOPY --from={BASE} /etc/hosts /bin/sh /\n"},
	{name: "copy: from a stage's links and owners", text: "FROM {BASE} AS s\nRUN mkdir /d && echo x >/d/a && ln /d/a /d/b && ln -s a /d/c && chown -R 7:8 /d && chmod 2750 /d && mkfifo /d/p\nFROM scratch\nCOPY --from=s /d /to\n"},
	{name: "copy: from a stage that is not there", text: "FROM scratch\nCOPY --from=7 f /\n"},
	{name: "copy: from a variable", text: "FROM scratch AS s\nARG S=s\nFROM scratch\nARG S=s\nCOPY --from=$S f /\n", files: copyFiles},
	{name: "copy: parents", text: "FROM scratch\nCOPY --parents d/sub/z.txt /a/\nCOPY --parents d/./sub/*.txt /b/\nCOPY --parents ./**/*.txt /c/\n", files: copyFiles, since: "1.56"},
	{name: "copy: all but", text: "FROM scratch\nCOPY --exclude=*.txt --exclude=sub d /a\nCOPY --exclude=**/z.txt d /b\n", files: copyFiles, since: "1.56"},
	{name: "copy: here-documents", text: "FROM scratch\nENV A=b\nCOPY <<one <<\"two\" /d/\nfirst $A\none\nsecond $A\ntwo\nCOPY <<EOF /file\nnamed\nEOF\n", machine: true},
	{name: "copy: a here-document with owner and mode", text: "FROM scratch\nCOPY --chown=7:8 --chmod=755 <<-EOF /run\n\t#!/bin/sh\n\techo \\$x\n\tEOF\n"},
	{name: "copy: a here-document and a file", text: "FROM scratch\nCOPY f <<EOF /d/\nx\nEOF\n", files: copyFiles},
	{name: "copy: nothing", text: "FROM scratch\nCOPY\n"},
	{name: "copy: no destination", text: "FROM scratch\nCOPY f\n"},
}

// dockerfilesAdd are about ADD.
var dockerfilesAdd = []dockerfile{
	{name: "add: a file", text: "FROM scratch\nADD f /a/\nADD d /b\nADD --chown=7:8 --chmod=600 f /c\n", files: copyFiles},
	{name: "add: an archive", text: "FROM scratch\nADD a.tar /\n", files: map[string]string{"a.tar": "@tar"}, machine: true},
	{name: "add: an archive that is zipped, to a new folder", text: "FROM scratch\nADD a.tar.gz /new/deep\n", files: map[string]string{"a.tar.gz": "@tar.gz"}},
	{name: "add: an archive by its content, not its name", text: "FROM scratch\nADD plain no.tar /d/\n", files: map[string]string{"plain": "@tar", "no.tar": "text"}},
	{name: "add: an archive gets an owner", text: "FROM scratch\nADD --chown=1:2 a.tar /d/\n", files: map[string]string{"a.tar": "@tar"}},
	{name: "add: an archive is not unpacked", text: "FROM scratch\nADD --unpack=false a.tar /d/\n", files: map[string]string{"a.tar": "@tar"}},
	{name: "add: an archive with link", text: "FROM {BASE}\nADD --link a.tar /d/\n", files: map[string]string{"a.tar": "@tar"}},
	{name: "add: an archive that is broken", text: "FROM scratch\nADD a.tar.gz /d/\n", files: map[string]string{"a.tar.gz": "\x1f\x8b\x08\x00broken"}},
	{name: "add: COPY does not unpack", text: "FROM scratch\nCOPY a.tar /d/\n", files: map[string]string{"a.tar": "@tar"}},
	{name: "add: a URL", text: "FROM scratch\nADD {WEB}/file /a\nADD {WEB}/file /d/\nADD --chmod=644 --chown=7:8 {WEB}/file /c\n", loopback: true},
	{name: "add: a URL of an archive", text: "FROM scratch\nADD {WEB}/a.tar.gz /d/\n", loopback: true},
	{name: "add: a URL of an archive, unpacked", text: "FROM scratch\nADD --unpack {WEB}/a.tar.gz /d/\n", loopback: true},
	{name: "add: a URL and its checksum", text: "FROM scratch\nADD --checksum=sha256:9d3b0d5a47b2b6c86b6a0ec36ef2ae4fd3c36fbb2ef22e0e6d8a7d5ae2cb8a64 {WEB}/file /a\n", loopback: true},
	{name: "add: a bad checksum", text: "FROM scratch\nADD --checksum=sha256:nosuch {WEB}/file /a\n", loopback: true},
	{name: "add: the checksum of a file", text: "FROM scratch\nADD --checksum=sha256:9d3b0d5a47b2b6c86b6a0ec36ef2ae4fd3c36fbb2ef22e0e6d8a7d5ae2cb8a64 f /a\n", files: copyFiles},
	{name: "add: a URL that is not there", text: "FROM scratch\nADD {WEB}/nosuch /a\n", loopback: true},
	{name: "add: a URL without a name", text: "FROM scratch\nADD {WEB}/ /d/\n", loopback: true},
	{name: "add: a git repository", text: "FROM scratch\nADD {WEB}/repo.git /r\n", loopback: true},
	{name: "add: a branch, a tag, a folder", text: "FROM scratch\nADD {WEB}/repo.git#other /a\nADD {WEB}/repo.git#v1 /b\nADD {WEB}/repo.git#main:sub /c\n", loopback: true},
	{name: "add: a git repository with its folder", text: "FROM {BASE} AS r\nADD --keep-git-dir=true {WEB}/repo.git /r\nRUN ls -a /r >/list && cat /r/.git/HEAD >>/list\nFROM scratch\nCOPY --from=r /list /\n", loopback: true},
	{name: "add: a git repository without such a branch", text: "FROM scratch\nADD {WEB}/repo.git#nosuch /a\n", loopback: true},
	{name: "add: a here-document", text: "FROM scratch\nADD <<EOF /x\ntext\nEOF\n"},
	{name: "add: several to a file", text: "FROM scratch\nADD f g /x\n", files: copyFiles},
	{name: "add: no destination", text: "FROM scratch\nADD f\n"},
}

func ignoring(name, patterns string) dockerfile {
	return dockerfile{name: "ignore: " + name, text: "FROM scratch\nCOPY . /\n", files: map[string]string{
		".dockerignore": patterns, "f": "f", "a.log": "a", "d/b.log": "b", "d/c": "c", "d/sub/x": "x", "d/sub/y.log": "y", "node/m/i": "i",
	}}
}

// dockerfilesIgnore are about .dockerignore.
var dockerfilesIgnore = []dockerfile{
	ignoring("names", "# a comment\nf\n/node\n  d/c  \n\n"),
	ignoring("wildcards", "*.log\nd/?\n"),
	ignoring("at any depth", "**/*.log\n"),
	ignoring("exceptions", "d\n!d/sub\nd/sub/y.log\n*.log\n!a.log\n"),
	ignoring("all but", "*\n!d/c\n"),
	ignoring("the files of the build themselves", "Dockerfile\n.dockerignore\n"),
	ignoring("a bad pattern", "[\n"),
	ignoring("upwards", "../f\n./d/../a.log\n"),
	{name: "ignore: what is ignored is not there", text: "FROM scratch\nCOPY f /\n", files: map[string]string{".dockerignore": "f\n", "f": "f"}, since: "1.56"},
	{name: "ignore: the file of a Dockerfile", text: "FROM scratch\nCOPY . /\n", attrs: map[string]string{"filename": "my.Dockerfile"},
		files: map[string]string{".dockerignore": "f\n", "my.Dockerfile.dockerignore": "g\n", "f": "f", "g": "g"}, machine: true},
	{name: "ignore: not in named contexts", text: "FROM scratch\nCOPY --from=other . /\n", files: map[string]string{".dockerignore": "f\n"}, named: map[string]map[string]string{"other": {"f": "f", ".dockerignore": "g\n", "g": "g"}}},
}
