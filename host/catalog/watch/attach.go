package watch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// heed says whether an event concerns what is watched: the content of one of the
// directories, one of the files, or a directory above them. There are others,
// because the directories above are watched as well.
func (w *Watcher) heed(event fsnotify.Event) bool {
	if event.Name == "" { // the end of a watch
		return false
	}
	name := filepath.Clean(event.Name)
	if w.leadsTo(name) {
		if !event.Has(fsnotify.Write) && !event.Has(fsnotify.Chmod) {
			w.detach(name)
			w.attach()
		}
		return true
	}
	return w.dirs[filepath.Dir(name)]
}

// leadsTo says that a path is one of those that matter, or above one.
func (w *Watcher) leadsTo(name string) bool {
	return slices.ContainsFunc(w.paths, func(p string) bool { return within(p, name) })
}

// within says that path is dir or below it.
func within(path, dir string) bool {
	separator := string(filepath.Separator)
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, separator)+separator)
}

// attachMost bounds how often attach looks again because directories appeared
// meanwhile.
const attachMost = 10

// attach watches what exists now: each directory, so that its content is seen,
// and the nearest existing one above, so that it is seen to appear, to vanish and
// to be replaced.
func (w *Watcher) attach() {
	if w.fs == nil {
		return
	}
	var before []string
	for range attachMost {
		wanted := w.targets()
		if before != nil && slices.Equal(wanted, before) {
			return
		}
		before = wanted
		have := w.fs.WatchList()
		for _, dir := range have {
			if !slices.Contains(wanted, dir) {
				w.forget(dir)
			}
		}
		for _, dir := range wanted {
			if slices.Contains(have, dir) {
				continue
			}
			if err := w.fs.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				w.log.Debug("changes in a plugin directory will be noticed late", "dir", dir, "error", err)
			}
		}
	}
}

// detach ends the watches of a path and below: it is gone, or another file now.
func (w *Watcher) detach(path string) {
	if w.fs == nil {
		return
	}
	for _, dir := range w.fs.WatchList() {
		if within(dir, path) {
			w.forget(dir)
		}
	}
}

func (w *Watcher) forget(dir string) {
	if err := w.fs.Remove(dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
		w.log.Debug("ending the watch of a directory", "dir", dir, "error", err)
	}
}

// targets are the directories to watch now, each once.
func (w *Watcher) targets() []string {
	var targets []string
	add := func(path string) {
		if dir := nearest(path); dir != "" && !slices.Contains(targets, dir) && !costly(dir) {
			targets = append(targets, dir)
		}
	}
	for _, path := range w.paths {
		if w.dirs[path] {
			add(path)
		}
		add(filepath.Dir(path))
	}
	return targets
}

// nearest is the path or the nearest directory above it that exists; empty: none.
func nearest(path string) string {
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
		parent := filepath.Dir(path)
		if parent == path {
			return ""
		}
		path = parent
	}
}

// costlyFiles is how many descriptors a watch may take.
const costlyFiles = 200

// costly says that watching the directory takes more descriptors than it is worth:
// outside Linux and Windows a watch opens every file in it.
func costly(dir string) bool {
	if runtime.GOOS == "linux" || runtime.GOOS == "windows" {
		return false
	}
	files, err := os.ReadDir(dir)
	return err == nil && len(files) > costlyFiles
}
