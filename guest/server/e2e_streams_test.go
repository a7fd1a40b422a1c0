package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/net/websocket"
)

// TestStreams runs the cases about attach, exec and logs on one engine.
func TestStreams(t *testing.T) {
	d := startDaemon(t)
	for name, test := range map[string]func(*daemon){
		"websocket": testWebSocket, "log drivers": testLogDrivers, "log options": testLogOptions, "log as JSON": testJSONLog,
		"logs and stream": testLogsAndStream, "several attachers": testSeveralAttachers, "framing": testFraming,
		"gone client": testGoneClient, "half-close": testHalfClose,
	} {
		t.Run(name, func(t *testing.T) {
			c := *d
			c.t = t
			test(&c)
		})
	}
}

// dial connects to the engine's socket; the connection is for HTTP by hand.
func (d *daemon) dial() *net.UnixConn {
	d.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(d.home, "docker.sock"))
	must(d.t, err)
	must(d.t, conn.SetDeadline(time.Now().Add(patience)))
	d.t.Cleanup(func() { conn.Close() })
	return conn.(*net.UnixConn)
}

func testWebSocket(d *daemon) {
	for _, c := range []struct {
		query string
		text  bool // what the client sends
		want  string
	}{
		{"stream=1&stdin=1&stdout=1&stderr=1", false, "a\nb\nend of input\n"},
		{"stream=1&stdin=1&stdout=1&stderr=1", true, "a\nb\nend of input\n"},
		{"stream=1&stdin=1&stderr=1", true, ""},
	} {
		id := d.create("", nil, container.Config{Cmd: []string{"cat"}, OpenStdin: true, StdinOnce: true, Tty: false})
		config, err := websocket.NewConfig("ws://engine/v1.47/containers/"+id+"/attach/ws?"+c.query, "http://engine")
		must(d.t, err)
		ws, err := websocket.NewClient(config, d.dial())
		must(d.t, err)
		_, err = d.ContainerStart(d.t.Context(), id, client.ContainerStartOptions{})
		must(d.t, err)
		send := func(text string) {
			if c.text {
				must(d.t, websocket.Message.Send(ws, text))
			} else {
				must(d.t, websocket.Message.Send(ws, []byte(text)))
			}
		}
		send("a\n")
		if c.want != "" {
			frame, err := ws.NewFrameReader()
			must(d.t, err)
			if got, err := io.ReadAll(frame); frame.PayloadType() != websocket.BinaryFrame || string(got) != "a\n" || err != nil {
				d.t.Errorf("got a frame of type %d: %q, %v", frame.PayloadType(), got, err)
			}
		}
		send("b\n")
		must(d.t, ws.Close()) // the input ends, and all of the stream
		d.waitEnd(id, container.WaitConditionNotRunning)
		if got := d.logs(id, client.ContainerLogsOptions{}); got != "a\nb\nend of input\n" {
			d.t.Errorf("%s: the container got %q", c.query, got)
		}
	}
	conn := d.dial()
	fmt.Fprintf(conn, "GET /containers/nosuch/attach/ws?stream=1 HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(d.t, err)
	if resp.StatusCode != http.StatusNotFound {
		d.t.Errorf("no such container: %s", resp.Status)
	}
}

func testLogDrivers(d *daemon) {
	rotated := map[string]string{"max-size": "2k", "max-file": "3", "compress": "true"}
	for _, c := range []struct {
		config container.LogConfig
		want   int // lines
		files  int
	}{
		{container.LogConfig{}, 1000, 1},
		{container.LogConfig{Type: "json-file", Config: rotated}, -1, 3},
		{container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "2k", "max-file": "1000"}}, 1000, -1},
		{container.LogConfig{Type: "local"}, 1000, 1},
		{container.LogConfig{Type: "local", Config: rotated}, -1, 3},
		{container.LogConfig{Type: "local", Config: map[string]string{"mode": "non-blocking", "max-buffer-size": "1m"}}, 1000, 1},
	} {
		id := d.create("", &container.HostConfig{LogConfig: c.config}, container.Config{Cmd: []string{"lines", "1000"}})
		_, err := d.ContainerStart(d.t.Context(), id, client.ContainerStartOptions{})
		must(d.t, err)
		d.waitEnd(id, container.WaitConditionNotRunning)
		got := d.logs(id, client.ContainerLogsOptions{})
		n := strings.Count(got, "\n")
		if all := lines(1000); !strings.HasSuffix(all, got) || c.want >= 0 && n != c.want || n == 0 {
			d.t.Errorf("%v: %d lines", c.config, n)
		}
		if got := d.logs(id, client.ContainerLogsOptions{Tail: "3"}); got != "line 997\nline 998\nline 999\n" {
			d.t.Errorf("%v: tail: %q", c.config, got)
		}
		files, _ := filepath.Glob(filepath.Join(d.home, "engine/containers", id, "*.log*"))
		local, _ := filepath.Glob(filepath.Join(d.home, "engine/containers", id, "local-logs/container.log*"))
		if n := len(files) + len(local); c.files >= 0 && n != c.files {
			d.t.Errorf("%v: %d files: %v %v", c.config, n, files, local)
		}
		if path := d.inspect(id).LogPath; (c.config.Type == "local") != (path == "") {
			d.t.Errorf("%v: LogPath is %q", c.config, path)
		}
	}
	id := d.up("", &container.HostConfig{LogConfig: container.LogConfig{Type: "none"}}, "lines", "1")
	if _, err := d.ContainerLogs(d.t.Context(), id, client.ContainerLogsOptions{ShowStdout: true}); err == nil || !strings.Contains(err.Error(), "configured logging driver does not support reading") {
		d.t.Errorf("none: %v", err)
	}
}

func testLogOptions(d *daemon) {
	ctx := d.t.Context()
	attrs := map[string]string{"labels": "a,nosuch", "labels-regex": "^x", "env": "E", "tag": "{{.Name}}/{{.ImageName}}/{{upper .ID}}"}
	id := d.create("logged", &container.HostConfig{LogConfig: container.LogConfig{Type: "json-file", Config: attrs}}, container.Config{
		Cmd: []string{"both"}, Env: []string{"E=1 2", "F=3"}, Labels: map[string]string{"a": "b&c", "x1": "y", "z": "no"},
	})
	_, err := d.ContainerStart(ctx, id, client.ContainerStartOptions{})
	must(d.t, err)
	d.waitEnd(id, container.WaitConditionNotRunning)
	tag := "logged%2Fprobe%2F" + strings.ToUpper(id[:12])
	if got := d.logs(id, client.ContainerLogsOptions{Details: true, Tail: "1"}); !strings.HasPrefix(got, "E=1+2,a=b%26c,tag="+tag+",x1=y ") {
		d.t.Errorf("details: %q", got)
	}
	data, err := os.ReadFile(d.inspect(id).LogPath)
	must(d.t, err)
	line, _, _ := strings.Cut(string(data), "\n")
	if !strings.Contains(line, `,"attrs":{"E":"1 2","a":"b\u0026c","tag":"logged/probe/`+strings.ToUpper(id[:12])+`","x1":"y"},"time":"`) {
		d.t.Errorf("record: %s", line)
	}
}

func testJSONLog(d *daemon) {
	id := d.up("", nil, "both")
	d.waitEnd(id, container.WaitConditionNotRunning)
	conn := d.dial()
	fmt.Fprintf(conn, "GET /v1.56/containers/%s/logs?stdout=1&stderr=1&format=json HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n", id)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(d.t, err)
	if kind := resp.Header.Get("Content-Type"); kind != "application/x-ndjson" {
		d.t.Errorf("content type %s", kind)
	}
	got := map[string]string{}
	for dec := json.NewDecoder(resp.Body); ; {
		var m struct {
			Line, Source string
			Timestamp    time.Time
		}
		if err := dec.Decode(&m); err == io.EOF {
			break
		} else {
			must(d.t, err)
		}
		if got[m.Source] = m.Line; time.Since(m.Timestamp) > patience {
			d.t.Errorf("timestamp %v", m.Timestamp)
		}
	}
	if got["stdout"] != "out\n" || got["stderr"] != "err\n" {
		d.t.Errorf("got %v", got)
	}
}

// testLogsAndStream: with logs=1&stream=1 everything comes once.
func testLogsAndStream(d *daemon) {
	id := d.create("", &container.HostConfig{LogConfig: container.LogConfig{Config: map[string]string{"max-size": "10k", "max-file": "1000"}}},
		container.Config{Cmd: []string{"lines", "20000"}})
	_, err := d.ContainerStart(d.t.Context(), id, client.ContainerStartOptions{})
	must(d.t, err)
	a, err := d.ContainerAttach(d.t.Context(), id, client.ContainerAttachOptions{Stream: true, Logs: true, Stdout: true})
	must(d.t, err)
	defer a.Close()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, io.Discard, a.Reader)
	must(d.t, err)
	if want := lines(20000); out.String() != want {
		d.t.Errorf("got %d bytes, want %d", out.Len(), len(want))
	}
	id = d.create("", &container.HostConfig{LogConfig: container.LogConfig{Type: "none"}}, container.Config{Cmd: []string{"wait"}})
	a, err = d.ContainerAttach(d.t.Context(), id, client.ContainerAttachOptions{Logs: true, Stdout: true})
	must(d.t, err)
	defer a.Close()
	out.Reset()
	_, err = stdcopy.StdCopy(&out, io.Discard, a.Reader)
	must(d.t, err)
	if out.String() != "Error attaching: configured logging driver does not support reading\n" {
		d.t.Errorf("logs without a log: %q", &out)
	}
}

// testSeveralAttachers: all that attach before the start hear everything.
func testSeveralAttachers(d *daemon) {
	id := d.create("", nil, container.Config{Cmd: []string{"lines", "300"}})
	results := make(chan string, 5)
	for range cap(results) {
		a, err := d.ContainerAttach(d.t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdout: true})
		must(d.t, err)
		defer a.Close()
		go func() {
			var out bytes.Buffer
			_, _ = stdcopy.StdCopy(&out, io.Discard, a.Reader)
			results <- out.String()
		}()
	}
	_, err := d.ContainerStart(d.t.Context(), id, client.ContainerStartOptions{})
	must(d.t, err)
	for range cap(results) {
		if got := <-results; got != lines(300) {
			d.t.Errorf("an attacher heard %d bytes", len(got))
		}
	}
}

// testFraming: as in dockerd the client that starts an exec says whether its stream has frames.
func testFraming(d *daemon) {
	id := d.up("", nil, "wait")
	for _, c := range []struct {
		exec, start bool // with a terminal
		upgrade     bool
		version     string
		head, body  string
	}{
		{false, false, true, "1.47", "101 UPGRADED application/vnd.docker.multiplexed-stream", "\x01\x00\x00\x00\x00\x00\x00\x03hi\n"},
		{false, false, true, "1.41", "101 UPGRADED application/vnd.docker.raw-stream", "\x01\x00\x00\x00\x00\x00\x00\x03hi\n"},
		{false, false, false, "1.47", "200 OK application/vnd.docker.raw-stream", "\x01\x00\x00\x00\x00\x00\x00\x03hi\n"},
		{true, true, true, "1.47", "101 UPGRADED application/vnd.docker.raw-stream", "hi\r\n"},
		{true, false, true, "1.47", "101 UPGRADED application/vnd.docker.multiplexed-stream", "\x01\x00\x00\x00\x00\x00\x00\x04hi\r\n"},
		{false, true, true, "1.47", "101 UPGRADED application/vnd.docker.raw-stream", "hi\n"},
	} {
		x, err := d.ExecCreate(d.t.Context(), id, client.ExecCreateOptions{Cmd: []string{"/probe", "echo", "hi"}, TTY: c.exec, AttachStdout: true, AttachStderr: true})
		must(d.t, err)
		body := fmt.Sprintf(`{"Tty":%t}`, c.start)
		conn := d.dial()
		fmt.Fprintf(conn, "POST /v%s/exec/%s/start HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", c.version, x.ID, len(body))
		if c.upgrade {
			fmt.Fprintf(conn, "Connection: Upgrade\r\nUpgrade: tcp\r\n")
		}
		fmt.Fprintf(conn, "\r\n%s", body)
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		must(d.t, err)
		got, err := io.ReadAll(in)
		must(d.t, err)
		if head := resp.Status + " " + resp.Header.Get("Content-Type"); head != c.head || string(got) != c.body {
			d.t.Errorf("%+v: %s, %q", c, head, got)
		}
	}
	_, err := d.ContainerRemove(d.t.Context(), id, client.ContainerRemoveOptions{Force: true})
	must(d.t, err)
}

// testGoneClient: a client that goes away from a container that says nothing leaves no attachment behind.
func testGoneClient(d *daemon) {
	id := d.up("", nil, "wait")
	d.ready(id)
	attached := func() int {
		n := 0
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.cmd.Process.Pid))
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:") {
				n++
			}
		}
		return n
	}
	before := attached()
	for range 5 {
		a, err := d.ContainerAttach(d.t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdout: true})
		must(d.t, err)
		must(d.t, a.CloseWrite())
		a.Close()
	}
	d.eventually("the keeper forgets the clients that went away", func() bool { return attached() <= before })
	_, err := d.ContainerRemove(d.t.Context(), id, client.ContainerRemoveOptions{Force: true})
	must(d.t, err)
}

// testHalfClose: the end of a client's input ends neither its output nor, without StdinOnce, the container's input.
func testHalfClose(d *daemon) {
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	id := d.create("", nil, container.Config{Cmd: []string{"cat"}, OpenStdin: true})
	_, err := d.ContainerStart(ctx, id, client.ContainerStartOptions{})
	must(d.t, err)
	attach := func(text string) client.HijackedResponse {
		a, err := d.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
		must(d.t, err)
		_, err = io.WriteString(a.Conn, text)
		must(d.t, err)
		must(d.t, a.CloseWrite())
		return a.HijackedResponse
	}
	one := attach("one\n")
	defer one.Close()
	frame := make([]byte, 12)
	_, err = io.ReadFull(one.Reader, frame)
	must(d.t, err)
	two := attach("two\n")
	defer two.Close()
	for _, a := range []client.HijackedResponse{one, two} {
		if _, err := io.ReadFull(a.Reader, frame); err != nil || string(frame[8:]) != "two\n" {
			d.t.Errorf("got %q, %v", frame, err)
		}
	}
	_, err = d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	must(d.t, err)
}
