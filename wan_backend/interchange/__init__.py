"""Cuts out of and into other programs, as OpenTimelineIO or in the formats that its adapters know.

Its files come from anywhere, so they are read and written by a process of their own, with limits of memory and time.
Nothing that they name is run or fetched, and OpenTimelineIO's plug-ins stay out, but for those of `other_formats`.

process         the process: reads an order, writes or reads one file
writing         a cut as an OpenTimelineIO timeline
reading         an OpenTimelineIO timeline as a cut
movies          movies in the place of picture sequences
other_formats   cuts of programs that read no OpenTimelineIO
plain_cut       a cut with no more than such a format has a place for
final_cut       Final Cut Pro 7's XML
media_composer  AAF
edit_list       CMX 3600's EDL
media_urls      files as the URLs of media references, and back
endings         the files that a clip may play
finding         where the media of a cut is on this machine
media_search    media that has moved, by its name and length
bundle          the files of an .otioz, packed and unpacked
"""
