package config

import "go.yaml.in/yaml/v3"

// put sets a value in a mapping and makes the mappings on the way.
func put(root *yaml.Node, k Key, value *yaml.Node) {
	at := root
	for _, name := range k[:len(k)-1] {
		next := find(at, name)
		if next == nil {
			next = &yaml.Node{Kind: yaml.MappingNode}
			at.Content = append(at.Content, text(name), next)
		}
		ownCopy(next)
		if next.Tag == "!!null" {
			*next = yaml.Node{Kind: yaml.MappingNode, HeadComment: next.HeadComment, FootComment: next.FootComment}
		}
		if len(next.Content) == 0 { // {} would keep what comes on its line
			next.Style = 0
		}
		at = next
	}
	name := k[len(k)-1]
	if old := find(at, name); old != nil {
		value.HeadComment, value.LineComment, value.FootComment = old.HeadComment, old.LineComment, old.FootComment
		*old = *value
		return
	}
	at.Content = append(at.Content, text(name), value)
}

// ownCopy makes an alias a copy of what it stands for, so that a change in it is made
// here, and nowhere else.
func ownCopy(n *yaml.Node) {
	for n.Kind == yaml.AliasNode {
		c := copyOf(n.Alias)
		c.HeadComment, c.LineComment, c.FootComment = n.HeadComment, n.LineComment, n.FootComment
		*n = *c
	}
}

// copyOf is a node with all that is in it, and without anchors: those stay where they
// are, and aliases in the copy go on meaning them.
func copyOf(n *yaml.Node) *yaml.Node {
	c := *n
	c.Anchor, c.Content = "", make([]*yaml.Node, len(n.Content))
	for i, e := range n.Content {
		c.Content[i] = copyOf(e)
	}
	return &c
}

// find is the value of a mapping's member; nil: there is none.
func find(mapping *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}
