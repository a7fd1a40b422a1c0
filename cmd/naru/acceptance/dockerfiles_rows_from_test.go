package acceptance

// dockerfilesFrom are about FROM, stages and targets.
var dockerfilesFrom = []dockerfile{
	{name: "from: an image and nothing else", text: "FROM {BASE}\n"},
	{name: "from: scratch", text: "FROM scratch\nCOPY f /\n", files: map[string]string{"f": "text"}},
	{name: "from: scratch, and nothing", text: "FROM scratch\n", differs: "images without layers"},
	{name: "from: scratch, and no files", text: "FROM scratch\nLABEL a=b\n", differs: "images without layers"},
	{name: "from: stages by number and name", text: `FROM scratch
COPY f /one
FROM scratch AS two
COPY f /two
FROM scratch
COPY --from=0 /one /
COPY --from=two /two /
`, files: map[string]string{"f": "text"}},
	{name: "from: a stage upon a stage", text: "FROM {BASE} AS a\nENV A=1\nLABEL l=a\nUSER 5\nFROM a AS b\nENV B=$A\nFROM b\nLABEL m=$B\n"},
	{name: "from: a stage's name in capitals", text: "FROM scratch AS One\nCOPY f /\nFROM scratch\nCOPY --from=ONE f /g\n", files: map[string]string{"f": "text"}},
	{name: "from: a stage that is not needed", text: "FROM {BASE} AS broken\nRUN exit 1\nFROM {BASE}\nLABEL a=b\n"},
	{name: "from: target", text: "FROM {BASE} AS a\nLABEL l=a\nFROM a AS b\nLABEL l=b\n", attrs: map[string]string{"target": "a"}},
	{name: "from: target by number", text: "FROM {BASE}\nLABEL l=a\nFROM scratch\nLABEL l=b\n", attrs: map[string]string{"target": "0"}},
	{name: "from: target in capitals", text: "FROM {BASE} AS a\nLABEL l=a\nFROM scratch\n", attrs: map[string]string{"target": "A"}},
	{name: "from: no such target", text: "FROM scratch AS a\n", attrs: map[string]string{"target": "nosuch"}},
	{name: "from: no such target number", text: "FROM scratch AS a\n", attrs: map[string]string{"target": "7"}},
	{name: "from: an argument before it", text: "ARG B={BASE}\nARG T\nFROM ${B}${T}\nLABEL l=$B\n"},
	{name: "from: an argument with a default", text: "ARG B\nFROM ${B:-scratch}\nCOPY f /\n", files: map[string]string{"f": "text"}},
	{name: "from: an argument without a value", text: "ARG B\nFROM $B\n"},
	{name: "from: the platform of the target", text: "FROM scratch\nARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT\nLABEL l=$TARGETPLATFORM,$TARGETOS,$TARGETARCH,$TARGETVARIANT\nCOPY f /\n", files: map[string]string{"f": "text"},
		attrs: map[string]string{"platform": "linux/arm/v7"}},
	{name: "from: the platform of the builder", text: "FROM --platform=$BUILDPLATFORM scratch AS a\nARG BUILDARCH TARGETARCH\nLABEL l=$BUILDARCH-$TARGETARCH\nCOPY f /\nFROM scratch\nCOPY --from=a f /\n",
		attrs: map[string]string{"platform": "linux/arm64"}, files: map[string]string{"f": "text"}},
	{name: "from: a platform of its own", text: "FROM --platform=linux/arm64 scratch\nCOPY f /\n", files: map[string]string{"f": "text"}},
	{name: "from: no platform", text: "FROM --platform=nosuch/x/y/z scratch\n"},
	{name: "from: another platform than the image has", text: "FROM {BASE}\n", attrs: map[string]string{"platform": "linux/arm64"}},
	{name: "from: an image that is not there", text: "FROM {REG}/nosuch:1\n"},
	{name: "from: no name of an image", text: "FROM a//b\n"},
	{name: "from: nothing", text: "FROM\n"},
	{name: "from: too much", text: "FROM scratch x\n"},
	{name: "from: a bad name of a stage", text: "FROM scratch AS 1a\n"},
	{name: "from: a reserved name of a stage", text: "FROM scratch AS context\nCOPY f /\n", files: map[string]string{"f": "text"}},
	{name: "from: an unknown flag", text: "FROM --nosuch=1 scratch\n"},
	{name: "from: two stages of one name", text: "FROM scratch AS a\nCOPY f /1\nFROM scratch AS a\nCOPY f /2\nFROM scratch\nCOPY --from=a / /\n", files: map[string]string{"f": "text"}},
	{name: "from: a later stage", text: "FROM scratch AS a\nCOPY --from=b /f /\nFROM scratch AS b\nCOPY f /\nFROM a\n", files: map[string]string{"f": "text"}},
	{name: "from: itself", text: "FROM scratch AS a\nCOPY --from=a /f /\n"},
	{name: "from: a named context", text: "FROM scratch\nCOPY --from=other f sub/g /\n", named: map[string]map[string]string{"other": {"f": "text", "sub/g 0600": "more"}}, machine: true},
	{name: "from: a named context in a stage's place", text: "FROM {BASE} AS files\nRUN exit 1\nFROM scratch\nCOPY --from=files f /\n", named: map[string]map[string]string{"files": {"f": "text"}}},
	{name: "from: an image in a stage's place", text: "FROM nosuch.example.test/x AS a\nFROM a\nLABEL l=x\n", attrs: map[string]string{"context:a": "docker-image://{BASE}"}},
	{name: "from: an image in another's place", text: "FROM nosuch\nLABEL l=x\n", attrs: map[string]string{"context:nosuch": "docker-image://{BASE}"}},
	{name: "from: a named context that is not there", text: "FROM scratch\nCOPY --from=other f /\n", attrs: map[string]string{"context:other": "local:other"}},
}

// dockerfilesSyntax are about what a Dockerfile is made of.
var dockerfilesSyntax = []dockerfile{
	{name: "syntax: case, comments, empty lines, continuations", text: `# a comment
  # another

from {BASE}
label a=b \

  # within
  c=d \
  e=f
Copy f \
  /g
`, files: map[string]string{"f": "text"}},
	{name: "syntax: the escape directive", text: "# escape=`\nFROM {BASE}\nLABEL a=b `\n  c=\\d\nENV W=c:\\x Y=`$W\n"},
	{name: "syntax: an escape directive after a comment", text: "# x\n# escape=`\nFROM {BASE}\nLABEL a=b \\\n  c=d\n"},
	{name: "syntax: a bad escape directive", text: "# escape=x\nFROM {BASE}\n"},
	{name: "syntax: a directive twice", text: "# escape=`\n# escape=`\nFROM {BASE}\n"},
	{name: "syntax: the built-in frontend is asked for", text: "# syntax=docker/dockerfile:1\nFROM {BASE}\nLABEL a=b\n", differs: "frontends"},
	{name: "syntax: another frontend", text: "# syntax=example.test/front:1\nFROM {BASE}\n", differs: "frontends"},
	{name: "syntax: checks warn", text: "from {BASE} as A\nENV K v\nMAINTAINER me\nLABEL a=$NOSUCH\nCMD a\n"},
	{name: "syntax: checks are skipped", text: "# check=skip=all\nfrom {BASE} as A\nENV K v\n"},
	{name: "syntax: checks are errors", text: "# check=error=true\nFROM {BASE} AS a\nENV K v\n"},
	{name: "syntax: some checks are skipped", text: "# check=skip=LegacyKeyValueFormat;error=true\nFROM {BASE} AS a\nENV K v\n"},
	{name: "syntax: checks by an argument", text: "FROM {BASE}\nENV K v\n", attrs: map[string]string{"build-arg:BUILDKIT_DOCKERFILE_CHECK": "error=true"}},
	{name: "syntax: a byte order mark, CRLF", text: "\ufeffFROM {BASE}\r\nLABEL a=b \\\r\n  c=d\r\n"},
	{name: "syntax: no text", text: "FROM {BASE}\n\xff\xfex y\n", differs: "no text"},
	{name: "syntax: a byte that is no text within", text: "FROM {BASE}\nLABEL a=\xff\n"},
	{name: "syntax: an unknown instruction", text: "FROM {BASE}\nNOPE x\n"},
	{name: "syntax: a misspelt instruction", text: "FROM {BASE}\nCOPPY x /\n"},
	{name: "syntax: an instruction before FROM", text: "LABEL a=b\nFROM {BASE}\n"},
	{name: "syntax: an empty file", text: ""},
	{name: "syntax: only a comment", text: "# nothing\n"},
	{name: "syntax: an unknown flag", text: "FROM {BASE}\nCOPY --nosuch f /\n"},
	{name: "syntax: a misspelt flag", text: "FROM {BASE}\nCOPY --chwon=1 f /\n"},
	{name: "syntax: a flag twice", text: "FROM {BASE}\nCOPY --chown=1 --chown=2 f /\n"},
	{name: "syntax: a flag without its value", text: "FROM {BASE}\nCOPY --from f /\n"},
	{name: "syntax: a boolean that is none", text: "FROM {BASE}\nCOPY --link=maybe f /\n"},
	{name: "syntax: a here-document without an end", text: "FROM {BASE}\nRUN <<EOF\necho\n"},
	{name: "syntax: a Dockerfile of another name", text: "FROM {BASE}\nLABEL a=b\n", attrs: map[string]string{"filename": "sub/My.Dockerfile"}},
	{name: "syntax: no Dockerfile", text: "FROM {BASE}\n", attrs: map[string]string{"filename": "sub/one"}, files: map[string]string{"sub/one": "-> nowhere"}},
	{name: "syntax: a continuation at the end", text: "FROM {BASE}\nLABEL a=b \\\n"},
	{name: "syntax: a quote that is not closed", text: "FROM {BASE}\nLABEL a=\"b\n"},
	{name: "syntax: a variable that is not closed", text: "FROM {BASE}\nLABEL a=${b\n"},
	{name: "syntax: a modifier that is none", text: "FROM {BASE}\nLABEL a=${b:*x}\n"},
}
