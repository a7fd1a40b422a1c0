package server

import (
	"testing"

	"naru/guest/engine/image"
)

func TestRegistryConfig(t *testing.T) {
	c := registryConfig(image.Registries{Mirrors: []string{"https://m.example.com"}, Insecure: []string{"r.example.com:5000", "10.0.0.0/8"}})
	if len(c.Mirrors) != 1 || c.Mirrors[0] != "https://m.example.com/" || len(c.IndexConfigs["docker.io"].Mirrors) != 1 {
		t.Errorf("mirrors: %q", c.Mirrors)
	}
	if i := c.IndexConfigs["r.example.com:5000"]; i == nil || i.Secure || len(c.InsecureRegistryCIDRs) != 3 {
		t.Errorf("insecure: %+v, %v", i, c.InsecureRegistryCIDRs)
	}
}
