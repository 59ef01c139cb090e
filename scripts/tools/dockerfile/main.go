// Reads a Dockerfile from stdin as BuildKit does: its own parser, its own instructions, its own linter.
// Prints JSON: {"stages": [{"name", "base", "instructions": [{"word", "line"}]}], "warnings": [...]}; exit 1 where it is no Dockerfile.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

type instruction struct {
	Word string `json:"word"`
	Line int    `json:"line"`
}

type stage struct {
	Name         string        `json:"name"`
	Base         string        `json:"base"`
	Instructions []instruction `json:"instructions"`
}

type answer struct {
	Stages   []stage  `json:"stages"`
	Warnings []string `json:"warnings"`
}

func read() (answer, error) {
	said := answer{Stages: []stage{}, Warnings: []string{}}
	parsed, err := parser.Parse(os.Stdin)
	if err != nil {
		return said, err
	}
	for _, warning := range parsed.Warnings {
		said.Warnings = append(said.Warnings, warning.Short)
	}
	warn := func(rule, _, _, message string, where []parser.Range) {
		line := 0
		if len(where) > 0 {
			line = where[0].Start.Line
		}
		said.Warnings = append(said.Warnings, fmt.Sprintf("line %d: %s: %s", line, rule, message))
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		return said, err
	}
	for _, each := range stages {
		found := stage{Name: each.Name, Base: each.BaseName, Instructions: []instruction{}}
		for _, command := range each.Commands {
			where := command.Location()
			found.Instructions = append(found.Instructions, instruction{strings.ToUpper(command.Name()), where[0].Start.Line})
		}
		said.Stages = append(said.Stages, found)
	}
	return said, nil
}

func main() {
	said, err := read()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
