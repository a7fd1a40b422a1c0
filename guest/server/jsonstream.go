package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types"
)

// jsonStreamTypes are the media types of a stream of JSON documents that a client can ask for, the best one first.
var jsonStreamTypes = []string{types.MediaTypeJSONLines, types.MediaTypeNDJSON, types.MediaTypeJSONSequence}

// jsonStreamType is the media type that r's Accept header names, else JSON lines. Clients before 1.52 expect what has
// never been right, application/json. Wildcards choose nothing.
func jsonStreamType(r *http.Request) string {
	if asked := acceptedType(r.Header.Values("Accept"), jsonStreamTypes); asked != "" {
		return asked
	}
	if lessVersion(requestVersion(r), "1.52") {
		return types.MediaTypeJSON
	}
	return types.MediaTypeJSONLines
}

// acceptedType is the offer with the highest quality value among those that the header's lines name, the first of
// equal ones, "" for none (RFC 9110, section 12.5.1).
func acceptedType(lines, offers []string) string {
	best, bestQ := "", 0.0
	quality := map[string]float64{}
	for _, item := range strings.Split(strings.Join(lines, ","), ",") {
		name, parameters, _ := strings.Cut(item, ";")
		q := 1.0
		for _, p := range strings.Split(parameters, ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			if strings.EqualFold(key, "q") {
				q, _ = strconv.ParseFloat(value, 64) // 0, not wanted, for what is no number
			}
		}
		name = strings.ToLower(strings.TrimSpace(name))
		quality[name] = max(quality[name], q)
	}
	for _, offer := range offers {
		if q := quality[offer]; q > bestQ {
			best, bestQ = offer, q
		}
	}
	return best
}

// recordSeparator precedes each document of application/json-seq (RFC 7464).
const recordSeparator = "\x1e"

// jsonStreamEncoder returns a function that writes one document, in one write, in the form of the media type.
func jsonStreamEncoder(w io.Writer, mediaType string) func(v any) error {
	prefix := ""
	if mediaType == types.MediaTypeJSONSequence {
		prefix = recordSeparator
	}
	return func(v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(append(append([]byte(prefix), data...), '\n'))
		return err
	}
}
