package sanity

import (
	"fmt"
	"io"
	"net"
	"time"
)

// relay passes connections on to the driver, each a moment late. csi-sanity
// waits for its connection to change its state before it looks whether it is
// ready: with a driver that answers at once it waits for a change that has
// been, for a minute, and fails its first test.
func relay(listen, driver string) (stop func(), err error) {
	listener, err := net.Listen("unix", listen)
	if err != nil {
		return nil, fmt.Errorf("relay csi-sanity's connection: %w", err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return // stopped
			}
			go pass(connection, driver)
		}
	}()
	return func() { listener.Close() }, nil
}

func pass(caller net.Conn, driver string) {
	defer caller.Close()
	const moment = 300 * time.Millisecond
	time.Sleep(moment)
	callee, err := net.Dial("unix", driver)
	if err != nil {
		return // the caller sees its connection closed and says so
	}
	defer callee.Close()
	go func() {
		_, _ = io.Copy(callee, caller)
		callee.Close()
	}()
	_, _ = io.Copy(caller, callee)
}
