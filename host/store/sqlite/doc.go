// Package sqlite keeps the server's records in one file that several processes may
// share.
package sqlite
