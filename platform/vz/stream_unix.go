//go:build unix

package vz

import (
	"fmt"
	"net"
	"reflect"
)

// unwrap takes the unix socket out of a *vz.VirtioSocketConnection: that type forwards everything but CloseWrite, on
// which our streams rely. The field is of the exact version in go.mod, and the type check of scripts/lint fails when
// a new one has it no more.
func unwrap(conn any) (*net.UnixConn, error) {
	v := reflect.ValueOf(conn)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		if f := v.Elem().FieldByName(hiddenSocket); f.IsValid() && f.Type() == reflect.TypeFor[net.Conn]() {
			if socket, ok := reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Interface().(*net.UnixConn); ok {
				return socket, nil
			}
		}
	}
	return nil, fmt.Errorf("a stream of type %T has no unix socket in its field %s", conn, hiddenSocket)
}

// hiddenSocket is the field's name.
const hiddenSocket = "rawConn"
