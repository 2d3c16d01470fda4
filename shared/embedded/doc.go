// Package embedded holds the in-process servers of the all-in-one and of tests: an SQLite file instead of PostgreSQL, a
// real nats-server, and miniredis instead of Redis. What they lose when the process dies can be rebuilt from the SQLite
// file, which loses nothing that was committed (I1). They are heavy: the programs api and worker do not import this.
package embedded
