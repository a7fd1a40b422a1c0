package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/containerd/platforms"
	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/engine/container"
)

func (h containerHandlers) create(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	req, old, err := readCreate(w, r)
	if err != nil {
		return err
	}
	version := requestVersion(r)
	warnings, err := adaptCreate(version, req, old)
	if err != nil {
		return err
	}
	o := container.CreateOptions{
		Name: r.URL.Query().Get("name"), Config: req.Config, HostConfig: req.HostConfig, Networking: req.NetworkingConfig,
	}
	if o.Platform, err = createPlatform(r.URL.Query().Get("platform"), version); err != nil {
		return err
	}
	id, more, err := h.m.Create(r.Context(), o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, containertypes.CreateResponse{ID: id, Warnings: append(append([]string{}, more...), warnings...)})
}

// readCreate decodes the body, and once more what the API's newest version has no field for any more.
func readCreate(w http.ResponseWriter, r *http.Request) (*containertypes.CreateRequest, *olderCreate, error) {
	if err := checkJSON(r); err != nil {
		return nil, nil, err
	}
	var body bytes.Buffer
	var req containertypes.CreateRequest
	err := decodeJSON(io.TeeReader(http.MaxBytesReader(w, r.Body, maxBody), &body), &req)
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, invalidRequest("invalid JSON: EOF")
	case err != nil:
		return nil, nil, err
	case req.Config == nil:
		return nil, nil, invalidRequest("config cannot be empty in order to create a container")
	}
	if req.HostConfig == nil {
		req.HostConfig = &containertypes.HostConfig{}
	}
	if req.HostConfig.PortBindings == nil {
		req.HostConfig.PortBindings = network.PortMap{}
	}
	if req.NetworkingConfig == nil {
		req.NetworkingConfig = &network.NetworkingConfig{}
	}
	if req.NetworkingConfig.EndpointsConfig == nil {
		req.NetworkingConfig.EndpointsConfig = map[string]*network.EndpointSettings{}
	}
	var old olderCreate
	_ = json.Unmarshal(body.Bytes(), &old) // what it cannot read is not there, as in Docker
	return &req, &old, nil
}

// createPlatform reads the platform parameter, which came with 1.41.
func createPlatform(text, version string) (*ocispec.Platform, error) {
	if text == "" || lessVersion(version, "1.41") {
		return nil, nil
	}
	p, err := platforms.Parse(text)
	if err != nil {
		return nil, invalidRequest("%s", err)
	}
	return &p, nil
}
