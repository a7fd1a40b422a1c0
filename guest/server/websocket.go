package server

import (
	"errors"
	"net/http"

	"golang.org/x/net/websocket"

	"naru/guest/engine/container"
)

// attachWebSocket serves an attach over a WebSocket, for clients in browsers and those without a raw connection. As in
// Docker stdout and stderr come mixed, in binary frames (text before 1.28), and what comes in frames of either kind is
// stdin.
func (h containerHandlers) attachWebSocket(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	version := requestVersion(r)
	o := container.AttachOptions{
		Stdin: true, Stdout: true, Stderr: true, Raw: true,
		Stream: boolValue(r, "stream"), Logs: boolValue(r, "logs"), DetachKeys: r.URL.Query().Get("detachKeys"),
	}
	if !lessVersion(version, "1.42") {
		o.Stdin, o.Stdout, o.Stderr = boolValue(r, "stdin"), boolValue(r, "stdout"), boolValue(r, "stderr")
	}
	socket := &webSocket{done: make(chan struct{}), ended: make(chan struct{})}
	served := false
	err := h.m.Attach(r.Context(), vars["id"], o, func() (container.Stream, error) {
		served = true
		return socket.open(w, r, !lessVersion(version, "1.28"))
	})
	if !served {
		return err
	}
	close(socket.done)
	<-socket.ended
	return nil // the connection is no HTTP any more: there is nobody to tell
}

// webSocket is one as the engine wants it.
type webSocket struct {
	*websocket.Conn
	done  chan struct{} // closed when we are through with it
	ended chan struct{} // closed when its connection is closed
}

// open answers the handshake. No Origin is checked: the socket is no port that a web page could reach.
func (s *webSocket) open(w http.ResponseWriter, r *http.Request, binary bool) (container.Stream, error) {
	opened := make(chan *websocket.Conn, 1)
	srv := websocket.Server{Handler: func(conn *websocket.Conn) {
		opened <- conn
		<-s.done
	}}
	go func() {
		defer close(s.ended)
		srv.ServeHTTP(w, r)
	}()
	select {
	case s.Conn = <-opened:
	case <-s.ended:
		return nil, errors.New("the WebSocket's handshake was refused")
	}
	if binary {
		s.PayloadType = websocket.BinaryFrame
	}
	return s, nil
}

// CloseWrite ends the whole: a WebSocket has no half-close.
func (s *webSocket) CloseWrite() error { return s.Close() }

// EndsWhole tells the engine that a client that ends its input is gone.
func (s *webSocket) EndsWhole() bool { return true }
