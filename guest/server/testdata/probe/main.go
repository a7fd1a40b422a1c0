// Command probe is all that the test image holds: small acts of a process that a test wants to see.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	rest := os.Args[2:]
	switch os.Args[1] {
	case "echo":
		fmt.Println(strings.Join(rest, " "))
	case "both":
		fmt.Println("out")
		fmt.Fprintln(os.Stderr, "err")
	case "cat":
		_, _ = io.Copy(os.Stdout, os.Stdin)
		fmt.Println("end of input")
	case "exit":
		code, _ := strconv.Atoi(rest[0])
		os.Exit(code)
	case "lines":
		n, _ := strconv.Atoi(rest[0])
		for i := range n {
			fmt.Println("line", i)
		}
	case "until": // runs until the file is there
		for {
			if _, err := os.Stat(rest[0]); err == nil {
				code, _ := strconv.Atoi(rest[1])
				os.Exit(code)
			}
			time.Sleep(5 * time.Millisecond)
		}
	case "tick", "wait":
		tick(os.Args[1] == "tick")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "exists": // as a health check
		if _, err := os.Stat(rest[0]); err != nil {
			fmt.Println("not there")
			os.Exit(1)
		}
		fmt.Println("there")
	case "swap": // a folder and a link to somewhere, for ever
		_ = os.Mkdir(rest[0], 0o755)
		_ = os.Symlink(rest[1], rest[0]+".link")
		fmt.Println("ready")
		for {
			_ = os.Rename(rest[0], rest[0]+".real")
			_ = os.Rename(rest[0]+".link", rest[0])
			_ = os.Rename(rest[0], rest[0]+".link")
			_ = os.Rename(rest[0]+".real", rest[0])
		}
	case "touch":
		_ = os.WriteFile(rest[0], nil, 0o644)
	case "remove":
		_ = os.Remove(rest[0])
	case "who":
		dir, _ := os.Getwd()
		fmt.Println(os.Getuid(), dir, os.Getenv("A"))
	}
}

// tick ends with 3 on SIGTERM.
func tick(aloud bool) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("ready")
	for i := 0; ; i++ {
		select {
		case <-term:
			os.Exit(3)
		case <-time.After(5 * time.Millisecond):
		}
		if aloud {
			fmt.Println("tick", i)
		}
	}
}
