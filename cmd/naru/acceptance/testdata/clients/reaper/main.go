// Command reaper speaks the protocol of Testcontainers' Ryuk: clients connect, send filters such as
// `label=org.testcontainers.session-id=…` one a line, and hear ACK for each. When the last client has gone, and none has come
// for a while, it removes the containers, networks, volumes and images with those labels, through the engine's socket that
// is mounted at /var/run/docker.sock, and ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	wait := 10 * time.Second
	if d, err := time.ParseDuration(os.Getenv("RYUK_RECONNECTION_TIMEOUT")); err == nil {
		wait = d
	}
	if err := run(wait); err != nil {
		fmt.Fprintln(os.Stderr, "reaper: error:", err)
		os.Exit(1)
	}
}

func run(wait time.Duration) error {
	if _, err := ask(http.MethodGet, "/_ping"); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", ":8080")
	if err != nil {
		return err
	}
	fmt.Println("Started!")
	r := reaper{labels: map[string]bool{}, changed: make(chan int)}
	go r.accept(ln)
	clients := 0
	quiet := time.NewTimer(time.Minute) // for the first one
	for {
		select {
		case n := <-r.changed:
			clients += n
			quiet.Stop()
			if clients == 0 {
				quiet.Reset(wait)
			}
		case <-quiet.C:
			return r.reap()
		}
	}
}

type reaper struct {
	mu      sync.Mutex // guards labels
	labels  map[string]bool
	changed chan int // +1 and -1 for each client
}

func (r *reaper) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		r.changed <- 1
		go func() {
			r.serve(conn)
			conn.Close()
			r.changed <- -1
		}()
	}
}

func (r *reaper) serve(conn net.Conn) {
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		filter, err := url.ParseQuery(strings.TrimSpace(lines.Text()))
		if err != nil {
			continue
		}
		r.mu.Lock()
		for _, label := range filter["label"] {
			r.labels[label] = true
		}
		r.mu.Unlock()
		fmt.Fprintln(conn, "ACK")
	}
}

func (r *reaper) reap() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for label := range r.labels {
		filters, _ := json.Marshal(map[string][]string{"label": {label}})
		q := "filters=" + url.QueryEscape(string(filters))
		for _, kind := range []struct{ list, remove, after string }{
			{"/containers/json?all=1&" + q, "/containers/", "?force=1&v=1"}, {"/networks?" + q, "/networks/", ""},
			{"/volumes?" + q, "/volumes/", "?force=1"}, {"/images/json?" + q, "/images/", "?force=1"},
		} {
			if err := removeAll(kind.list, kind.remove, kind.after); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeAll removes what a list names, but this container itself, which is of the session too.
func removeAll(list, path, after string) error {
	body, err := ask(http.MethodGet, list)
	if err != nil {
		return err
	}
	type thing struct {
		ID     string `json:"Id"`
		Name   string
		Labels map[string]string
	}
	var things []thing
	if json.Unmarshal(body, &things) != nil {
		var volumes struct{ Volumes []thing }
		if err := json.Unmarshal(body, &volumes); err != nil {
			return err
		}
		things = volumes.Volumes
	}
	for _, t := range things {
		if t.Labels["org.testcontainers.ryuk"] == "true" {
			continue
		}
		name := t.ID
		if name == "" {
			name = t.Name
		}
		if _, err := ask(http.MethodDelete, path+name+after); err != nil {
			return err
		}
	}
	return nil
}

var engine = http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", "/var/run/docker.sock")
}}}

func ask(method, path string) ([]byte, error) {
	req, err := http.NewRequest(method, "http://engine"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := engine.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 400 {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, body)
	}
	return body, err
}
