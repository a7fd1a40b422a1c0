// Command traffic is both ends of the bench's measurements of networks. `traffic serve` answers at port 9000; the others
// ask a server and print how many nanoseconds it took:
//
//	traffic bytes ADDRESS N      N MiB from the server in one connection
//	traffic requests ADDRESS N   N questions of 64 bytes and their answers, one after the other
//	traffic connections ADDRESS N   N connections, one after the other, each with one question
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

const question = 64

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "traffic: error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "serve" {
		return serve()
	}
	if len(args) != 3 {
		return errors.New("expected serve, or bytes, requests or connections with ADDRESS and N")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	start := time.Now()
	switch args[0] {
	case "bytes":
		err = ask(args[1], func(c net.Conn) error { return download(c, n<<20) })
	case "requests":
		err = ask(args[1], func(c net.Conn) error { return requests(c, n) })
	case "connections":
		for i := 0; i < n && err == nil; i++ {
			err = ask(args[1], func(c net.Conn) error { return requests(c, 1) })
		}
	default:
		err = fmt.Errorf("unknown measurement %q", args[0])
	}
	if err == nil {
		fmt.Println(time.Since(start).Nanoseconds())
	}
	return err
}

// serve answers each question, which begins with how many bytes the answer is to have.
func serve() error {
	l, err := net.Listen("tcp", ":9000")
	if err != nil {
		return err
	}
	fmt.Println("up")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go answer(c)
	}
}

func answer(c net.Conn) {
	defer c.Close()
	q, block := make([]byte, question), make([]byte, 256<<10)
	for {
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		for left := int(binary.LittleEndian.Uint64(q)); left > 0; left -= len(block) {
			if _, err := c.Write(block[:min(left, len(block))]); err != nil {
				return
			}
		}
	}
}

func ask(addr string, f func(net.Conn) error) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

func download(c net.Conn, size int) error {
	q := make([]byte, question)
	binary.LittleEndian.PutUint64(q, uint64(size))
	if _, err := c.Write(q); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for left := size; left > 0; {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func requests(c net.Conn, n int) error {
	q, a := make([]byte, question), make([]byte, question)
	binary.LittleEndian.PutUint64(q, question)
	for range n {
		if _, err := c.Write(q); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, a); err != nil {
			return err
		}
	}
	return nil
}
