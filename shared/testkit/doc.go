// Package testkit gives tests the servers that they need, each test its own part of them: a PostgreSQL schema, an SQLite
// file, a redis-server, an embedded nats-server. What cannot be had fails the test, it is never skipped. Everything is
// gone when the test ends.
package testkit
