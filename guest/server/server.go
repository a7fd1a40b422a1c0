package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"naru/guest/engine"
)

// Server serves one engine on any number of listeners.
type Server struct {
	http *http.Server
	log  *slog.Logger
	// life ends when the server does: streams that have no end of their own, such as events, end with it.
	life    context.Context
	endLife context.CancelFunc
}

// headerTimeout bounds how long a client may take for the head of a request.
const headerTimeout = time.Minute

// New makes a server of e. The caller calls Serve for each listener, and Close once.
func New(e *engine.Engine, log *slog.Logger) *Server {
	s := &Server{log: log}
	s.life, s.endLife = context.WithCancel(context.Background())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // for gRPC, see withGRPC
	s.http = &http.Server{
		Protocols:         &protocols,
		Handler:           Handler(e, log),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.life },
	}
	return s
}

// Handler is the API of e: Docker's, and /naru/….
func Handler(e *engine.Engine, log *slog.Logger) http.Handler {
	return withGRPC(e.Builds, newRouter(log,
		systemRoutes(e), eventRoutes(e.Events), containerRoutes(e.Containers), fileRoutes(e.Containers), execRoutes(e.Containers),
		imageRoutes(e.Images), buildRoutes(e.Builds), networkRoutes(e.Networks, e.Containers), volumeRoutes(e.Volumes),
		swarmRoutes(), pluginRoutes(), naruRoutes(e)))
}

// Serve serves HTTP on ln until Close.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends the endless streams, lets the other requests finish until ctx ends, and closes all connections.
func (s *Server) Close(ctx context.Context) error {
	s.endLife()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
