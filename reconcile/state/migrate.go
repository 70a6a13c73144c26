package state

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// migrations holds NNNN_what.sql, applied in order, each in one transaction. A
// released one is never edited.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema to the newest version that this binary knows.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	// One transaction for all, taken as a writer from the start: of two processes
	// that start at once, the second finds the work done.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS conductor_schema (version BIGINT NOT NULL)`); err != nil {
		return err
	}
	var have int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM conductor_schema`).Scan(&have); err != nil {
		return err
	}
	for _, name := range files {
		version, err := strconv.Atoi(strings.TrimPrefix(name, "migrations/")[:4])
		if err != nil {
			return fmt.Errorf("migration %s: its name must begin with four digits", name)
		}
		if version <= have {
			continue
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("migration %s: %w", name, err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO conductor_schema (version) VALUES ($1)`, version); err != nil {
			return err
		}
	}
	if newest := len(files); have > newest {
		return fmt.Errorf("%w: schema %d, this binary knows %d; run the newer binary or restore a backup", ErrNewerSchema, have, newest)
	}
	return tx.Commit()
}
