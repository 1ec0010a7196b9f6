-- Takes the number of a conversation that is about to be made. One that is not used in the end leaves a gap, which harms nobody.
select nextval('conversation_numbers') as conversation_no
