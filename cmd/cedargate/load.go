package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
)

// problems are what is wrong with configuration and policies. As an error they
// keep the process from serving.
type problems []config.Problem

func (p problems) Error() string {
	return fmt.Sprintf("%d problems in configuration or policies", len(p))
}

// print writes each problem as file:line:column: message, and its hint. Advice,
// which keeps nobody from serving, is marked.
func (p problems) print(w io.Writer) {
	for _, problem := range p {
		if problem.Advice {
			problem.Message = "advice: " + problem.Message
		}
		fmt.Fprintln(w, problem)
		if problem.Hint != "" {
			fmt.Fprintln(w, "  hint:", problem.Hint)
		}
	}
}

// read reads the configuration and the policy files it names. The problems it
// returns without an error are advice.
func read(file string) (*config.Config, []policy.File, problems, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading configuration: %w", err)
	}
	c, found := config.Parse(file, text)
	if c == nil {
		return nil, nil, nil, problems(found)
	}
	files, err := readPolicies(besides(file, c.PolicyPath))
	return c, files, problems(found), err
}

// assemble puts the parts of c together; advice is what read found.
func assemble(c *config.Config, parts config.Parts, advice problems) (*config.Assembly, problems, error) {
	a, found := c.Assemble(parts)
	all := append(advice, found...)
	if a == nil {
		return nil, nil, all
	}
	return a, all, nil
}

// besides resolves a path of the configuration relative to its file.
func besides(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// beside returns what reads the files that a configuration names, relative to
// it. More than 1 MiB is refused.
func beside(file string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		text, err := readBounded(besides(file, name), maxNamedFile)
		if err == nil && len(text) > maxNamedFile {
			err = fmt.Errorf("%s has more than %d bytes", name, maxNamedFile)
		}
		return text, err
	}
}

const maxNamedFile = 1 << 20

// readPolicies reads the *.cedar files of a directory, of each no more than
// shows that policy.Load refuses it. Links are followed: a Kubernetes ConfigMap
// is mounted as links.
func readPolicies(dir string) ([]policy.File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, hinted{
			fmt.Errorf("reading policies: %w", err),
			"policies.path is a directory of *.cedar files, relative to the configuration file",
		}
	}
	var files []policy.File
	var failed []error
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".cedar" {
			continue
		}
		name := filepath.Join(dir, e.Name())
		text, err := readBounded(name, policy.MaxFileBytes)
		if err != nil {
			failed = append(failed, fmt.Errorf("reading policies: %w", err))
			continue
		}
		files = append(files, policy.File{Name: name, Text: text})
	}
	return files, errors.Join(failed...)
}

// readBounded reads a file, but no more of it than shows that it has more than
// most bytes. It waits for nobody: a pipe is refused, not opened until somebody
// writes to it.
func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	return io.ReadAll(io.LimitReader(f, most+1))
}
