// Command naru is the command line of naru: containers on this machine, directly on Linux and in one small VM
// elsewhere, with Docker's verbs and flags.
package main

import (
	"os"

	"naru/cmd/naru/cli"
)

// version is set by the linker: -X main.version=….
var version = "dev"

func main() { os.Exit(cli.Main(version, os.Args[1:])) }
