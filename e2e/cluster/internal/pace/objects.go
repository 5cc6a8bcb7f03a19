package pace

import "fmt"

func claim(name, mode, snapshot string) string {
	source := ""
	if snapshot != "" {
		source = fmt.Sprintf("  dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: %s}\n", snapshot)
	}
	return fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, namespace: %s}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: fast
  volumeMode: %s
  resources: {requests: {storage: 1Gi}}
%s
---
`, name, namespace, mode, source)
}

// volumes are the claims that a pod uses; empty ones it doesn't.
type volumes struct{ mount, block string }

func pod(name, image string, v volumes) string {
	text := fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
  - name: main
    image: %s
    imagePullPolicy: IfNotPresent
    command: [/bin/busybox, sleep, "1000000"]
    volumeDevices: [{name: block, devicePath: /dev/volume}]
`, name, namespace, image)
	if v.mount != "" {
		text += "    volumeMounts: [{name: mount, mountPath: /data}]\n"
	}
	text += fmt.Sprintf("  volumes:\n  - {name: block, persistentVolumeClaim: {claimName: %s}}\n", v.block)
	if v.mount != "" {
		text += fmt.Sprintf("  - {name: mount, persistentVolumeClaim: {claimName: %s}}\n", v.mount)
	}
	return text
}

func snapshot(name, source string) string {
	return fmt.Sprintf(`apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: %s, namespace: %s}
spec:
  volumeSnapshotClassName: csi-snap
  source: {persistentVolumeClaimName: %s}
`, name, namespace, source)
}
