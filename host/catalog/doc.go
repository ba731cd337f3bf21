// Package catalog finds backend plugins: it walks the search path, reads
// manifests, checks that nobody else could have written the files, and says what
// is there, what is shadowed and what is refused and why.
package catalog
