package table

import (
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Ago is how long ago t was: "3 minutes ago".
func Ago(t time.Time) string { return units.HumanDuration(time.Since(t)) + " ago" }

// Size is a number of bytes with three digits: "12.3MB".
func Size(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }

// shortID is how many characters of an ID people see.
const shortID = 12

// ShortID is an ID without its algorithm, in the length that people see.
func ShortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return truncate(id, shortID)
}

// ID is the ID as it is, or short.
func ID(id string, full bool) string {
	if full {
		return id
	}
	return ShortID(id)
}

// Ellipsis cuts s to n characters, the last one being an ellipsis.
func Ellipsis(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
