"""Phones: who may call whom by SIP, and how a call becomes part of a consultation."""
