package apikeys

import (
	"io/fs"
	"os/exec"
)

// private does not look at access lists: the profile of a user is closed to others.
func private(string, fs.FileInfo) error { return nil }

// together is for systems with groups of processes.
func together(*exec.Cmd) {}
