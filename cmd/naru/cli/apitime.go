package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeForms are the forms of --since and --until beside durations and seconds since 1970. Without a zone they are
// local.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02T15Z07:00", "2006-01-02T15", "2006-01-02Z07:00", "2006-01-02",
}

// apiTime turns the value of --since or --until into the API's: seconds since 1970 with nine digits behind the point.
func apiTime(flag, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(value); err == nil && value != "0" { // that one is the beginning of 1970, not now
		return seconds(time.Now().Add(-d)), nil
	}
	if whole, nanos, _ := strings.Cut(value, "."); isNumber(whole) && (nanos == "" || isNumber(nanos)) {
		return value, nil
	}
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, value, time.Local); err == nil {
			return seconds(t), nil
		}
	}
	return "", fmt.Errorf("invalid value for %q: failed to parse value as time or duration: %q", flag, value)
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

func seconds(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
