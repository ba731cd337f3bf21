// Package doctable keeps tables of documentation that tests write: each stands
// between two comments of a page, and is compared or, with -update, replaced.
package doctable
