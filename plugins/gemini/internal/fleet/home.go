package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// home is the private directory of one process:
//
//	.gemini/        the CLI's own state, with settings.json and links to the login
//	cwd/            where the process runs; empty
//	s/N/            the working directory of a session, with its settings
//	tmp/            TMPDIR: the CLI writes reports of errors there
//	system.md       GEMINI_SYSTEM_MD
//	record.jsonl    what the CLI records of the model's responses
type home string

func newHome(root string, settings []byte, links []string) (home, error) {
	dir, err := os.MkdirTemp(root, "g")
	if err != nil {
		return "", fmt.Errorf("making a home for the CLI: %w", err)
	}
	h := home(dir)
	if err := h.fill(settings, links); err != nil {
		h.remove()
		return "", fmt.Errorf("making a home for the CLI: %w", err)
	}
	return h, nil
}

func (h home) fill(settings []byte, links []string) error {
	for _, dir := range []string{h.state(), h.cwd(), h.tmp(), filepath.Join(string(h), "s")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(h.state(), "settings.json"), settings, 0o600); err != nil {
		return err
	}
	for _, target := range links {
		if _, err := os.Stat(target); err != nil {
			continue // the user has none
		}
		if err := os.Symlink(target, filepath.Join(h.state(), filepath.Base(target))); err != nil {
			return err
		}
	}
	return os.WriteFile(h.system(), nil, 0o600)
}

func (h home) state() string  { return filepath.Join(string(h), ".gemini") }
func (h home) cwd() string    { return filepath.Join(string(h), "cwd") }
func (h home) tmp() string    { return filepath.Join(string(h), "tmp") }
func (h home) system() string { return filepath.Join(string(h), "system.md") }
func (h home) record() string { return filepath.Join(string(h), "record.jsonl") }

func (h home) remove() { _ = os.RemoveAll(string(h)) } // the scratch directory is emptied anyway

// session makes the working directory of session n with its settings.
func (h home) session(n int, settings []byte) (dir string, err error) {
	dir = filepath.Join(string(h), "s", fmt.Sprintf("s%d", n))
	if err := os.MkdirAll(filepath.Join(dir, ".gemini"), 0o700); err != nil {
		return "", fmt.Errorf("making the session's directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gemini", "settings.json"), settings, 0o600); err != nil {
		return "", fmt.Errorf("writing the session's settings: %w", err)
	}
	return dir, nil
}

// registry is the CLI's table of the directories that it keeps state for.
type registry struct {
	Projects map[string]string `json:"projects"`
}

// project makes the CLI keep what it knows about dir under a name of ours, and
// returns where that is. The CLI must be idle.
func (h home) project(dir string) (state string, err error) {
	path := filepath.Join(h.state(), "projects.json")
	r := registry{}
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &r); err != nil {
			return "", fmt.Errorf("reading the CLI's projects: %w", err)
		}
	}
	name, known := r.Projects[dir]
	if !known {
		sum := sha256.Sum256([]byte(dir))
		name = "p" + hex.EncodeToString(sum[:8])
		if r.Projects == nil {
			r.Projects = map[string]string{}
		}
		r.Projects[dir] = name
		b, err := json.Marshal(r)
		if err != nil {
			return "", fmt.Errorf("writing the CLI's projects: %w", err)
		}
		if err := os.WriteFile(path+".new", b, 0o600); err != nil {
			return "", fmt.Errorf("writing the CLI's projects: %w", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return "", fmt.Errorf("writing the CLI's projects: %w", err)
		}
	}
	return filepath.Join(h.state(), "tmp", name), nil
}

// forget removes what one turn has left: the conversation in any form.
func (h home) forget(dirs ...string) {
	for _, dir := range dirs {
		_ = os.RemoveAll(dir)
	}
	_ = os.RemoveAll(h.record())
	reports, _ := os.ReadDir(h.tmp())
	for _, r := range reports {
		_ = os.RemoveAll(filepath.Join(h.tmp(), r.Name()))
	}
}
