package daemon

import (
	"encoding/pem"
	"unsafe"

	"golang.org/x/sys/windows"
)

// addedCAs are the certificates in PEM of the system's store of roots, those of administrators among them.
func addedCAs() (out []byte) {
	name, err := windows.UTF16PtrFromString("ROOT")
	if err != nil {
		return nil
	}
	store, err := windows.CertOpenSystemStore(0, name)
	if err != nil {
		return nil
	}
	defer windows.CertCloseStore(store, 0)
	for cert, err := windows.CertEnumCertificatesInStore(store, nil); err == nil && cert != nil; cert, err = windows.CertEnumCertificatesInStore(store, cert) {
		raw := unsafe.Slice(cert.EncodedCert, cert.Length)
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})...)
	}
	return out
}
