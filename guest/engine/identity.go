package engine

import (
	"crypto/rand"
	"encoding/json"
	"fmt"

	"naru/guest/engine/journal"
)

// kindEngine is the journal's kind of what the engine knows about itself.
const kindEngine = "engine"

// identity is the installation's ID, a random UUID (RFC 9562, version 4) that is made at the first start.
func identity(store journal.Store) (id string, err error) {
	err = store.Each(kindEngine, func(key string, raw json.RawMessage) error {
		if key != "id" {
			return nil
		}
		return json.Unmarshal(raw, &id)
	})
	if err != nil || id != "" {
		return id, err
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	id = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	return id, store.Put(kindEngine, "id", id, true)
}
