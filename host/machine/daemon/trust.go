package daemon

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
)

// maxCAs bounds what of the host's certificates goes into the config document, in bytes.
const maxCAs = 512 << 10

// hostProxies are the host's proxy settings as its programs read them from the environment.
func hostProxies() map[string]string {
	out := map[string]string{}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"} {
		value := os.Getenv(name)
		if value == "" {
			value = os.Getenv(strings.ToLower(name))
		}
		if value != "" {
			out[name] = value
		}
	}
	return out
}

// hostCAs are the certificates, in PEM, of the authorities that this host's user has added to those that come with the
// system, and those in SSL_CERT_FILE.
func (d *Daemon) hostCAs() string {
	data := addedCAs()
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		more, err := os.ReadFile(file)
		if err != nil {
			d.log.Warn("the certificates of SSL_CERT_FILE cannot be read", "error", err)
		}
		data = append(append(data, '\n'), more...)
	}
	out, left := onlyCertificates(data, maxCAs)
	if left > 0 {
		d.log.Warn("certificates of the host are left out: there are too many", "left out", left)
	}
	return out
}

// onlyCertificates keeps the certificates of a bundle, each once, and tells how many had no room.
func onlyCertificates(data []byte, room int) (string, int) {
	var out bytes.Buffer
	seen, left := map[string]bool{}, 0
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out.String(), left
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" || seen[string(block.Bytes)] {
			continue
		}
		seen[string(block.Bytes)] = true
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})
		if out.Len()+len(text) > room {
			left++
			continue
		}
		out.Write(text)
	}
}
