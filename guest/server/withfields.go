package server

import (
	"bytes"
	"encoding/json"
)

// withFields is a document with fields that its Go type does not have: those of older versions of the API. A map among
// them is merged into the object of its name.
type withFields struct {
	document any
	extra    map[string]any
}

// MarshalJSON writes them all, in the order of their names.
func (w withFields) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(w.document)
	if err != nil {
		return nil, err
	}
	return appendFields(data, w.extra)
}

func appendFields(object []byte, extra map[string]any) ([]byte, error) {
	var have map[string]json.RawMessage
	if err := json.Unmarshal(object, &have); err != nil {
		return nil, err
	}
	more := map[string]any{}
	for name, value := range extra {
		nested, isMap := value.(map[string]any)
		old, there := have[name]
		switch {
		case isMap && there && bytes.HasPrefix(old, []byte("{")):
			merged, err := appendFields(old, nested)
			if err != nil {
				return nil, err
			}
			have[name] = merged
		default:
			more[name] = value
		}
	}
	for name, value := range more {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		have[name] = data
	}
	return json.Marshal(have)
}
