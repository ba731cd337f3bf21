// Package storetest is what every store has to pass.
package storetest
