package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Error is what the engine answered instead of doing what was asked.
type Error struct {
	Status  int    // HTTP status
	Message string // the engine's words
}

func (e *Error) Error() string { return e.Message }

// ConnectError says that no engine could be reached.
type ConnectError struct {
	Endpoint string
	Err      error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("cannot connect to the engine at %s: %v", e.Endpoint, e.Err)
}

func (e *ConnectError) Unwrap() error { return e.Err }

func hasStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}

// IsNotFound tells whether the engine has no such thing.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsNotImplemented tells whether the engine does not serve this.
func IsNotImplemented(err error) bool { return hasStatus(err, http.StatusNotImplemented) }

// isTooNew tells whether the engine refused the version of the API.
func isTooNew(err error) bool {
	return hasStatus(err, http.StatusBadRequest) && strings.Contains(err.Error(), "is too new")
}

// maxError bounds what is read of an error's body, in bytes.
const maxError = 1 << 20

// checkStatus turns an answer from 400 on into an *Error and closes it.
func checkStatus(resp *http.Response) (*http.Response, error) {
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer drain(resp)
	return nil, readError(resp)
}

func readError(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return &Error{Status: resp.StatusCode, Message: "the engine answered " + resp.Status}
	}
	var m struct {
		Message string `json:"message"`
	}
	message := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &m) == nil && m.Message != "" {
		message = m.Message
	}
	if message == "" {
		message = "the engine answered " + resp.Status
	}
	return &Error{Status: resp.StatusCode, Message: message}
}
