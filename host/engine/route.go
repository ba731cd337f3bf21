package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/near"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Alias is a name of the operator's for a backend with settings.
type Alias struct {
	Backend string
	// Model is the backend's own; empty: its default.
	Model string
	// What is set wins over the request.
	Mode       Mode
	WorkingDir string
	Approval   ApprovalMode
	Sandbox    SandboxMode
}

// Model is a name that can be asked for.
type Model struct {
	ID, Title, Backend string
	// Created is zero when unknown, the numbers 0.
	Created                        time.Time
	ContextWindow, MaxOutputTokens int64
}

// target is where a turn goes.
type target struct {
	backend, model string // model is the backend's own name, empty: default
	alias          *Alias
}

// route finds where a turn goes. A turn that names no model of its backend gets the one
// that the operator set for it.
func (e *Engine) route(t *Turn) (target, error) {
	to, err := e.resolve(t)
	if err == nil && to.model == "" {
		to.model = e.config.Load().DefaultModels[to.backend]
	}
	return to, err
}

// resolve resolves a model's name: an alias, a backend, backend/model, or a bare id
// that exactly one backend lists. Anything else is an error that names what is near;
// there is no silent default.
func (e *Engine) resolve(t *Turn) (target, error) {
	if t.Backend != "" {
		if _, ok := e.backends.Info(t.Backend); !ok {
			return target{}, e.notFound(t.Backend, "backend")
		}
		model := strings.TrimPrefix(t.Model, t.Backend+"/")
		if model == t.Backend {
			model = ""
		}
		return target{backend: t.Backend, model: model}, nil
	}
	name, config := t.Model, e.config.Load()
	if name == "" {
		if config.DefaultBackend == "" {
			return target{}, Errorf(CodeInvalidRequest, "no model is named and there is no default backend")
		}
		name = config.DefaultBackend
	}
	if a, ok := config.Aliases[name]; ok {
		return target{backend: a.Backend, model: a.Model, alias: &a}, nil
	}
	if _, ok := e.backends.Info(name); ok {
		return target{backend: name}, nil
	}
	if backend, model, ok := strings.Cut(name, "/"); ok && model != "" {
		if _, known := e.backends.Info(backend); known {
			return target{backend: backend, model: model}, nil
		}
	}
	var listed []string
	for _, backend := range e.backends.Names() {
		if info, ok := e.backends.Info(backend); ok && lists(info.Models, name) {
			listed = append(listed, backend)
		}
	}
	switch len(listed) {
	case 1:
		return target{backend: listed[0], model: name}, nil
	case 0:
		return target{}, e.notFound(name, "model")
	}
	err := Errorf(CodeModelNotFound, "the model %q is offered by %s: say which, for example %q", name, strings.Join(listed, " and "), listed[0]+"/"+name)
	err.Param = "model"
	return target{}, err
}

func lists(models []*backendv1.Model, id string) bool {
	return slices.ContainsFunc(models, func(m *backendv1.Model) bool {
		return m.GetId() == id || slices.Contains(m.GetAliases(), id)
	})
}

func (e *Engine) notFound(name, kind string) *Error {
	var names []string
	if kind == "backend" {
		names = e.backends.Names()
	} else {
		for _, m := range e.Models() {
			names = append(names, m.ID)
		}
	}
	err := &Error{Code: CodeModelNotFound, Param: kind, Near: near.Names(name, names)}
	err.Message = fmt.Sprintf("the %s %q does not exist", kind, name)
	switch {
	case len(err.Near) > 0:
		err.Message += "; near names: " + strings.Join(err.Near, ", ")
	case len(names) > 0:
		err.Message += fmt.Sprintf("; there are: %s", strings.Join(names[:min(len(names), 10)], ", "))
	}
	return err
}

// Models lists every name that can be asked for: aliases, backends and
// backend/model, sorted.
func (e *Engine) Models() []Model {
	var out []Model
	config := e.config.Load()
	for name, a := range config.Aliases {
		m := Model{ID: name, Title: name, Backend: a.Backend}
		if info, ok := e.backends.Info(a.Backend); ok {
			describeModel(&m, find(info.Models, cmp.Or(a.Model, config.DefaultModels[a.Backend])))
		}
		out = append(out, m)
	}
	for _, backend := range e.backends.Names() {
		if _, shadowed := config.Aliases[backend]; shadowed {
			continue
		}
		info, ok := e.backends.Info(backend)
		if !ok {
			continue
		}
		m := Model{ID: backend, Title: cmp.Or(info.Describe.GetTitle(), backend), Backend: backend}
		describeModel(&m, find(info.Models, config.DefaultModels[backend]))
		m.Title = cmp.Or(info.Describe.GetTitle(), backend)
		out = append(out, m)
		for _, p := range info.Models {
			m := Model{ID: backend + "/" + p.GetId(), Backend: backend}
			describeModel(&m, p)
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Model) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func find(models []*backendv1.Model, id string) *backendv1.Model {
	for _, m := range models {
		if m.GetId() == id || id == "" && m.GetIsDefault() {
			return m
		}
	}
	return nil
}

func describeModel(m *Model, p *backendv1.Model) {
	m.Title = cmp.Or(p.GetTitle(), m.Title, m.ID)
	m.ContextWindow, m.MaxOutputTokens = p.GetContextWindow(), p.GetMaxOutputTokens()
	if p.GetCreateTime() != nil {
		m.Created = p.GetCreateTime().AsTime()
	}
}

// Model looks one name up. Besides those that Models lists it finds what a turn
// would find: any backend/model and bare ids.
func (e *Engine) Model(id string) (Model, error) {
	for _, m := range e.Models() {
		if m.ID == id {
			return m, nil
		}
	}
	to, err := e.route(&Turn{Model: id})
	if err != nil || id == "" {
		return Model{}, e.notFound(id, "model")
	}
	info, _ := e.backends.Info(to.backend)
	p := find(info.Models, to.model)
	if p == nil {
		return Model{}, e.notFound(id, "model")
	}
	m := Model{ID: id, Backend: to.backend}
	describeModel(&m, p)
	return m, nil
}
