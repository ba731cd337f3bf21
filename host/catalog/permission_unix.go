//go:build unix

package catalog

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func checkExecutable(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o111 == 0 {
		return &PermissionError{Path: path, Problem: "is not executable", Remedy: "chmod u+x " + Quote(path)}
	}
	return nil
}

// checkPermissions does what ssh does with its files: the file, its directory and
// every directory above must belong to root or to us and be writable by nobody
// else. Parents may be sticky (/tmp): nobody can replace what is not theirs there.
// The path as given and the path behind symbolic links are both checked, because
// whoever can write to either can choose what runs.
func checkPermissions(path string, info fs.FileInfo) error {
	if err := checkOne(path, info, false); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("resolving %s: %w", path, err)
	}
	if err := checkParents(real); err != nil {
		return err
	}
	if real != path {
		return checkParents(path)
	}
	return nil
}

func checkParents(path string) error {
	for dir, direct := filepath.Dir(path), true; ; dir, direct = filepath.Dir(dir), false {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("looking at %s: %w", dir, err)
		}
		if err := checkOne(dir, info, !direct); err != nil {
			return err
		}
		if filepath.Dir(dir) == dir {
			return nil
		}
	}
}

func checkOne(path string, info fs.FileInfo, stickyOK bool) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("looking at %s: the file system tells no owner", path)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return &PermissionError{
			Path: path, Problem: fmt.Sprintf("belongs to %s, neither to root nor to you", userName(st.Uid)),
			Remedy: fmt.Sprintf("chown %d %s", os.Geteuid(), Quote(path)),
		}
	}
	mode := info.Mode()
	if stickyOK && mode&fs.ModeSticky != 0 {
		return nil
	}
	if mode.Perm()&0o002 != 0 {
		return &PermissionError{Path: path, Problem: fmt.Sprintf("can be written by everybody (mode %#o)", mode.Perm()), Remedy: "chmod go-w " + Quote(path)}
	}
	if mode.Perm()&0o020 != 0 && !privateGroup(st.Uid, st.Gid) {
		return &PermissionError{Path: path, Problem: fmt.Sprintf("can be written by its group (mode %#o)", mode.Perm()), Remedy: "chmod g-w " + Quote(path)}
	}
	return nil
}

// privateGroup says that the group is the owner's own: same name, the owner's
// primary group, nobody else in it. Many systems make files writable by it.
func privateGroup(uid, gid uint32) bool {
	owner, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil || owner.Gid != strconv.FormatUint(uint64(gid), 10) {
		return false
	}
	group, err := user.LookupGroupId(owner.Gid)
	if err != nil || group.Name != owner.Username {
		return false
	}
	text, err := os.ReadFile("/etc/group")
	if err != nil {
		return true // groups kept elsewhere: name and primary group must do
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 4 && fields[2] == owner.Gid {
			return fields[3] == "" || fields[3] == owner.Username
		}
	}
	return true
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
