package driver

import "sync"

// keyedLocks serialises the calls on one volume. Calls on different volumes
// don't wait for one another.
type keyedLocks struct{ locks sync.Map }

// lock waits for the key and returns what releases it.
func (k *keyedLocks) lock(key string) (unlock func()) {
	value, _ := k.locks.LoadOrStore(key, &sync.Mutex{})
	mutex := value.(*sync.Mutex)
	mutex.Lock()
	return mutex.Unlock
}
