package store

import (
	"encoding/json"
	"errors"
	"time"
)

// What callers of a store of sessions branch on, besides ErrNotFound.
var (
	// ErrAmbiguous says that several sessions begin with the prefix.
	ErrAmbiguous = errors.New("several sessions begin with this id; give more of it")
	// ErrExists says that the owner has a session with this id already.
	ErrExists = errors.New("a session with this id exists already")
	// ErrBusy says that a turn holds the session now.
	ErrBusy = errors.New("the session is in use by another turn; wait until that has ended")
	// ErrFull says that there is no room for what was to be written.
	ErrFull = errors.New("there is no room left")
	// ErrUnwritable says that the store's file cannot be written, or not even read.
	ErrUnwritable = errors.New("the file cannot be used")
)

// Usage counts tokens.
type Usage struct {
	Input, Output, Cached, Reasoning int64
}

// Session is a kept conversation without its transcript. Mode and Status are words
// of the caller's.
type Session struct {
	ID, Owner  string // the id is unique per owner
	ParentID   string // the session that it was forked from; empty for others
	Backend    string
	Model      string
	Mode       string
	WorkingDir string
	System     string // the system prompt
	Title      string
	Status     string
	Tags       []string // sorted, each once; nil without any
	Metadata   map[string]string
	Token      []byte    // Backend's own name for the conversation, opaque; nil: it has none
	Torn       bool      // what Token names may hold more than the turns: a process has ended in mid-turn; set by the store
	Created    time.Time // when it is zero, that of creating it
	Updated    time.Time // creation or the last turn, whichever is later; set by the store
	Turns      int       // set by the store
	Usage      Usage     // sum over the turns; set by the store
}

// SessionTurn is one question with its answer.
type SessionTurn struct {
	Seq          int             // 1 for the first; set by the store
	User         json.RawMessage // content as given
	Assistant    json.RawMessage // content as answered
	Usage        Usage
	Backend      string
	Model        string
	FinishReason string
	Created      time.Time // when it is zero, that of appending it
}

// Append is a turn with what it changes in its session, all at once or not at all.
type Append struct {
	// Turn is added. When it names its Backend, the session's Backend and Model become
	// those of the turn. The Token of another Backend is then no more.
	Turn SessionTurn
	// Text is what a search finds the turn by: the words of question and answer, of
	// which the first MaxText bytes count.
	Text string
	// Change is what else changes.
	Change Change
	// Release gives the caller's lease back with it, to spare a write of its own.
	Release bool
}

// MaxText bounds what a turn is found by: to index a megabyte takes half a second,
// during which nothing else can be written.
const MaxText = 64 << 10

// Change is what changes in a session. Nil leaves what there is, a pointer to
// nothing removes it.
type Change struct {
	Title, Status, Model, Mode, WorkingDir, System *string
	Tags                                           *[]string
	Metadata                                       *map[string]string
	Token                                          *[]byte
}

// Filter chooses sessions. Empty fields choose all.
type Filter struct {
	Backend, Status, Tag, WorkingDir string
	// Query chooses sessions whose title or turns hold each of its words, all in
	// one turn or all in the title. A word also finds the words that begin with it;
	// upper and lower case and accents are the same. One that has no letter or
	// digit finds nothing.
	Query string
	// Limit is the size of a page; 0 is DefaultPage, more than MaxPage is MaxPage.
	Limit int
	// Offset is how many to skip.
	Offset int
}

// Sizes of pages.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// MaxFound is how many sessions a search finds at most, those whose matching words
// are the newest. It bounds the time for words that are everywhere.
const MaxFound = 500

// Page is a part of a list, newest first by Updated.
type Page struct {
	Sessions []*Session
	// Total is how many there are on all pages.
	Total int
}

// Cleaning chooses sessions to delete. Empty fields choose all.
type Cleaning struct {
	// Before chooses those that were Updated before.
	Before          time.Time
	Backend, Status string
}

// Policy says how many sessions are kept, of all owners together. Zero fields bound
// nothing. Drafts that nobody holds are never kept.
type Policy struct {
	Age   time.Duration // older ones go, by Updated
	Count int           // the newest so many stay
}

// Deleted is a session that is no more. With Token its Backend can be asked to forget
// it too.
type Deleted struct {
	Owner, ID, Backend string
	Token              []byte // nil: none
}
