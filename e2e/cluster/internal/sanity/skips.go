package sanity

import (
	"fmt"
	"slices"
	"strings"
)

// skip is a group of the suite's tests that does not apply to the driver.
type skip struct {
	// under are the first words of the tests' full names.
	under string
	// tests is how many there are: one more is not covered by the reason.
	tests int
	// why is what the driver lacks, and why it is right to.
	why string
}

// skips are all tests that may be skipped. A capability that a driver of this
// kind should have is not among them: volumes and snapshots are created, cloned,
// listed, expanded and measured, and all tests of that run.
var skips = []skip{
	{"Controller Service [Controller Server] ControllerPublishVolume ", 7, noAttach},
	{"Controller Service [Controller Server] ControllerUnpublishVolume ", 1, noAttach},
	{"Controller Service [Controller Server] volume lifecycle ", 2, noAttach},
	{"Controller Service [Controller Server] CreateVolume should create volume with a volume attribute class", 1, noModify},
	{"Controller Service [Controller Server] CreateVolume should not create volume with an invalid volume attribute class", 1, noModify},
	{"ModifyVolume [Controller Server] ", 6, noModify},
	{"GroupController Service [GroupController Server] ", 1, noGroups},
	{"GroupController Service [GroupController VolumeGroupSnapshots] ", 5, noGroups},
	{"Controller Service [Controller Server] ListVolumes pagination should detect volumes added between pages", 1,
		"the suite itself leaves it out, for every driver; paginate has what it asks for"},
}

const (
	noAttach = "PUBLISH_UNPUBLISH_VOLUME: there is one node and nothing to attach (attachRequired: false)"
	noModify = "MODIFY_VOLUME: a volume has no property that could be changed, and Ferry uses no attribute classes"
	noGroups = "GROUP_CONTROLLER_SERVICE: Ferry takes no group snapshots, and a cut of several mounted volumes at one instant is not cheap"
)

// checkSkips holds what was skipped against what may be, and returns what is
// wrong about it.
func checkSkips(skipped []string) []string {
	var wrong []string
	left := slices.Clone(skipped)
	for _, s := range skips {
		before := len(left)
		left = slices.DeleteFunc(left, func(name string) bool { return strings.HasPrefix(name, s.under) })
		if found := before - len(left); found != s.tests {
			wrong = append(wrong, fmt.Sprintf("%d tests of %q were skipped, and %d are known not to apply (%s)", found, s.under, s.tests, s.why))
		}
	}
	for _, name := range left {
		wrong = append(wrong, fmt.Sprintf("%q was skipped, and nobody has said that it does not apply", name))
	}
	return wrong
}
