package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
)

// maxBody bounds a JSON request body, in bytes.
const maxBody = 8 << 20

func invalidRequest(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// checkJSON refuses a body that does not call itself JSON.
func checkJSON(r *http.Request) error {
	ct := r.Header.Get("Content-Type")
	if ct == "" && r.ContentLength == 0 {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(ct)
	switch {
	case err != nil:
		return invalidRequest("malformed Content-Type header (%s): %v", ct, err)
	case mediaType != "application/json":
		return invalidRequest("unsupported Content-Type header (%s): must be 'application/json'", ct)
	}
	return nil
}

// readJSON decodes the request's body into v. An empty body leaves v as it is.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if err := checkJSON(r); err != nil {
		return err
	}
	if r.ContentLength == 0 {
		return nil
	}
	err := decodeJSON(http.MaxBytesReader(w, r.Body, maxBody), v)
	if errors.Is(err, io.EOF) {
		return invalidRequest("invalid JSON: got EOF while reading request body")
	}
	return err
}

// decodeJSON reads one JSON value and no more. It returns io.EOF where there is none.
func decodeJSON(body io.Reader, v any) error {
	dec := json.NewDecoder(body)
	err := dec.Decode(v)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &tooLarge):
		return invalidRequest("invalid JSON: the body is larger than %d bytes", tooLarge.Limit)
	case err != nil:
		return invalidRequest("invalid JSON: %v", err)
	case dec.More():
		return invalidRequest("unexpected content after JSON")
	}
	return nil
}

// boolValue reads a query parameter as Docker does: absent, "", "0", "no", "false" and "none" are false.
func boolValue(r *http.Request, name string) bool {
	switch strings.ToLower(strings.TrimSpace(r.URL.Query().Get(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// boolValueOr is boolValue with a default for an absent parameter.
func boolValueOr(r *http.Request, name string, absent bool) bool {
	if !r.URL.Query().Has(name) {
		return absent
	}
	return boolValue(r, name)
}

// filtersValue reads Docker's filters parameter in both its forms: {"name":{"v":true}} and {"name":["v"]} of old clients.
// As in Docker a value counts whatever stands behind it.
func filtersValue(r *http.Request) (map[string][]string, error) {
	text := r.FormValue("filters")
	if text == "" {
		return nil, nil
	}
	out := map[string][]string{}
	var sets map[string]map[string]bool
	if json.Unmarshal([]byte(text), &sets) == nil {
		for name, set := range sets {
			out[name] = []string{}
			for v := range set {
				out[name] = append(out[name], v)
			}
		}
		return out, nil
	}
	if json.Unmarshal([]byte(text), &out) != nil {
		return nil, invalidRequest("invalid filter")
	}
	return out, nil
}
