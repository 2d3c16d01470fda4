package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// list writes what the programs in bin are made of, as they say themselves: each module of others, and Go's own library.
func (r *release) list(bin, path string) (err error) {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return fmt.Errorf("list modules: %w", err)
	}
	found := map[string]cyclonedx.Component{}
	for _, e := range entries {
		info, err := buildinfo.ReadFile(filepath.Join(bin, e.Name()))
		if err != nil {
			return fmt.Errorf("list modules of %s: %w", e.Name(), err)
		}
		for _, m := range append(info.Deps, &debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}) {
			if m.Replace != nil && m.Replace.Version != "" {
				m = m.Replace
			}
			if m.Path != "sluice" && !strings.HasPrefix(m.Path, "sluice/") {
				c := component(m)
				found[c.BOMRef] = c
			}
		}
	}
	components := []cyclonedx.Component{}
	for _, ref := range slices.Sorted(maps.Keys(found)) {
		components = append(components, found[ref])
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: r.at.Format("2006-01-02T15:04:05Z"),
		Component: &cyclonedx.Component{
			Type: cyclonedx.ComponentTypeApplication, BOMRef: "sluice", Name: "sluice", Version: r.Version,
			Licenses: &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		},
	}
	bom.Components = &components
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the list of modules: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := cyclonedx.NewBOMEncoder(f, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cyclonedx.SpecVersion1_6); err != nil {
		return fmt.Errorf("write the list of modules: %w", err)
	}
	return nil
}

func component(m *debug.Module) cyclonedx.Component {
	url := "pkg:golang/" + m.Path + "@" + m.Version
	c := cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, BOMRef: url, Name: m.Path, Version: m.Version, PackageURL: url}
	if m.Sum != "" {
		c.Properties = &[]cyclonedx.Property{{Name: "go.sum", Value: m.Sum}}
	}
	return c
}
