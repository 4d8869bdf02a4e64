#!/usr/bin/env python3
"""Runs a program that may have so many MiB of addresses.

usage: memory.py MIB PROGRAM ...
"""
import os
import resource
import sys

limit = int(sys.argv[1]) << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
