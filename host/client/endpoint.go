package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"naru/platform/ipc"
)

// dialTime bounds the connecting to an engine elsewhere.
const dialTime = 15 * time.Second

// DialURL returns the dialer of a DOCKER_HOST: unix:///path, npipe:////./pipe/name or tcp://host:port, the last one
// with TLS when tlsDir names a folder with ca.pem, cert.pem and key.pem.
func DialURL(host, tlsDir string) (Dialer, error) {
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok {
		return nil, fmt.Errorf("%q is no URL of an engine: unix:///path, tcp://host:port or npipe:////./pipe/name", host)
	}
	switch scheme {
	case "unix":
		return func(ctx context.Context) (net.Conn, error) { return dialUnix(ctx, rest) }, nil
	case "npipe":
		pipe := strings.ReplaceAll(rest, "/", `\`)
		return func(ctx context.Context) (net.Conn, error) { return ipc.Dial(ctx, pipe) }, nil
	case "tcp", "http", "https":
		return dialTCP(host, tlsDir)
	}
	return nil, fmt.Errorf("an engine at %s:// cannot be reached; use unix://, tcp:// or npipe://", scheme)
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

func dialTCP(host, tlsDir string) (Dialer, error) {
	u, err := url.Parse(host)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("%q is no address of an engine: tcp://host:port", host)
	}
	addr := u.Host
	if u.Port() == "" {
		port := "2375"
		if tlsDir != "" {
			port = "2376"
		}
		addr = net.JoinHostPort(u.Hostname(), port)
	}
	d := &net.Dialer{Timeout: dialTime}
	if tlsDir == "" {
		return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }, nil
	}
	config, err := tlsConfig(tlsDir)
	if err != nil {
		return nil, err
	}
	t := &tls.Dialer{NetDialer: d, Config: config}
	return func(ctx context.Context) (net.Conn, error) { return t.DialContext(ctx, "tcp", addr) }, nil
}

func tlsConfig(dir string) (*tls.Config, error) {
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("read the engine's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("read the engine's CA: no certificate in " + filepath.Join(dir, "ca.pem"))
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, fmt.Errorf("read the certificate for the engine: %w", err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}
