package server

import (
	"net/http"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
)

// auth checks credentials against their registry. Nothing is kept here: that is the client's part.
func (h systemHandlers) auth(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	config, err := authconfig.DecodeRequestBody(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	token, err := h.e.Images.Login(r.Context(), *config)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, registry.AuthResponse{Status: "Login Succeeded", IdentityToken: token})
}
