package boot

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"naru/guest/api"
)

// certificates is the bundle that the engine trusts, see environment.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// trustHost gives this process, and with it the engine, the host's proxy and the authorities that its user has added. The
// bundle is the image's at each boot, so that what the host trusts no more is gone.
func trustHost(c *api.Config, bundle string) error {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"} {
		if value := c.Proxy[name]; value != "" {
			if err := os.Setenv(name, value); err != nil {
				return fmt.Errorf("set %s: %w", name, err)
			}
		}
	}
	if c.CAs == "" {
		return nil
	}
	var add []byte
	for rest := []byte(c.CAs); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && err == nil {
			add = append(append(add, '\n'), pem.EncodeToMemory(block)...)
		}
	}
	f, err := os.OpenFile(bundle, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("add the host's certificates: %w", err)
	}
	_, err = f.Write(add)
	return errors.Join(err, f.Close())
}
